# The unit from the standard input, and the name that people call the program by.
cat >"$unit.part"
chmod 644 "$unit.part"
mv "$unit.part" "$unit"
systemctl daemon-reload
mkdir -p "${program%/*}"
ln -sfn "$base/current/lbctl" "$program.part"
mv -T "$program.part" "$program"
