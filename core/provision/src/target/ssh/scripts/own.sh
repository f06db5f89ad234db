# Before each script that changes something: the machine must be ours (the first argument), or nobody's.
owner=$1
shift
mkdir -p /run/lock
exec 9>/run/lock/lbctl-provision
if command -v flock >/dev/null; then
    flock -w 60 9 || fail 92 "another provisioning is at work"
fi
if [ -f "$base/owner.json" ] && [ "$(cat "$base/owner.json")" != "$owner" ]; then
    fail 97 "$(cat "$base/owner.json")"
fi
