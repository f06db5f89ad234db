# Marks the machine. The mark is there before anything else, and goes last.
mkdir -p "$base/releases"
chmod 755 "$base" "$base/releases"
printf '%s\n' "$owner" >"$base/.owner"
mv "$base/.owner" "$base/owner.json"
