# What there is, one fact on each line: a word, a space, the value.
echo "machine $(uname -m)"
echo "system $(uname -s)"
[ ! -d /run/systemd/system ] || echo "systemd yes"
[ ! -f "$base/owner.json" ] || echo "owner $(head -c 4096 "$base/owner.json" | tr -d '\n')"
for file in "$base"/releases/*/lbctl; do
    [ -f "$file" ] || continue
    folder=${file%/lbctl}
    echo "release ${folder##*/} $(sha256sum <"$file" | cut -d ' ' -f 1) $("$file" --version 2>/dev/null | head -n 1)"
done
echo "current $(current)"
echo "serving $(serving)"
[ ! -f "$base/history" ] || tail -n 20 "$base/history" | while read -r name _; do echo "past $name"; done
[ ! -f "$unit" ] || echo "unit $(sha256sum <"$unit" | cut -d ' ' -f 1)"
[ ! -e "$program" ] && [ ! -L "$program" ] || echo "program $(readlink "$program" || echo "$program")"
[ -f "$unit" ] || ! systemctl cat lbctl.service >/dev/null 2>&1 || echo "foreign $(systemctl show --property=FragmentPath --value lbctl.service)"
! getent passwd lbctl >/dev/null || echo "account yes"
echo "active $(systemctl is-active lbctl.service 2>/dev/null || :)"
echo "enabled $(systemctl is-enabled lbctl.service 2>/dev/null || :)"
[ ! -d "$state" ] || echo "state yes"
[ ! -f /etc/lbctl/lb.toml ] || echo "file $(sha256sum </etc/lbctl/lb.toml | cut -d ' ' -f 1)"
[ ! -d /etc/lbctl ] || echo "settings yes"
folder=$base
[ -d "$folder" ] || folder=/opt
[ -d "$folder" ] || folder=/
echo "free $(df -Pk "$folder" | awk 'NR == 2 { print $4 }')"
lbctl=$base/current/lbctl
if [ -x "$lbctl" ] && [ -S "$state/admin.sock" ]; then
    if status=$("$lbctl" status --output json 2>&1); then
        echo "status $(echo "$status" | tr -d '\n')"
    fi
    if [ "${1:-}" = document ]; then
        # The document that is wanted comes on the standard input.
        plan=$("$lbctl" plan - --output json 2>&1) && code=0 || code=$?
        if [ $code = 0 ]; then
            echo "plan $(echo "$plan" | tr -d '\n')"
        else
            echo "refused $(echo "$plan" | tr '\n' ' ')"
        fi
    fi
fi
