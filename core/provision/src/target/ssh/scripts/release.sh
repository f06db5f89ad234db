# A release from the standard input: its name, its SHA-256 and its length in KiB.
name=$1 sha256=$2 kib=$3
folder=$base/releases/$name
free=$(df -Pk "$base" | awk 'NR == 2 { print $4 }')
[ "$free" -ge "$((kib + 10240))" ] || fail 93 "$base has $free KiB, and $((kib + 10240)) KiB are needed"
mkdir -p "$folder"
# What an interrupted upload left is of no use.
rm -f "$folder/.part"
trap 'rm -f "$folder/.part"; rmdir "$folder" 2>/dev/null || :' EXIT
cat >"$folder/.part" || fail 93 "the release could not be written to $folder"
echo "$sha256  $folder/.part" | sha256sum --check --status - ||
    fail 1 "what arrived of the release is not what was sent: the connection may have broken"
chmod 755 "$folder/.part"
said=$("$folder/.part" --version 2>&1) || fail 95 "$said"
sync "$folder/.part"
mv "$folder/.part" "$folder/lbctl"
trap - EXIT
