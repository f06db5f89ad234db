# Takes releases away that nobody goes back to.
for name in "$@"; do
    [ "$name" != "$(current)" ] && [ "$name" != "$(serving)" ] || continue
    rm -rf "$base/releases/${name:?}"
done
