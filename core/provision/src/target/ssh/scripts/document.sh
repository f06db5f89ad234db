# The document from the standard input: into force, then into the file that a start looks at.
document=$(mktemp /run/lbctl-document.XXXXXX)
trap 'rm -f "$document"' EXIT
cat >"$document"
said=$("$base/current/lbctl" apply - --yes --comment "lbctl provision" --output json <"$document" 2>&1) ||
    fail 98 "$said"
mkdir -p /etc/lbctl
cp "$document" /etc/lbctl/.lb.toml.part
chown root:lbctl /etc/lbctl/.lb.toml.part
chmod 640 /etc/lbctl/.lb.toml.part
mv /etc/lbctl/.lb.toml.part /etc/lbctl/lb.toml
