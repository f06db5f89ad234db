# Puts a release in force: its name, and for how many seconds it is watched. What does not serve is taken
# back here, on the machine: the connection may be gone by then.
new=$1 watch=$2
old=$(current)

flip() {
    ln -sfn "releases/$1" "$base/.current"
    mv -T "$base/.current" "$base/current"
}

log_since() {
    journalctl --unit lbctl.service --since "@$began" --no-pager --output cat --lines 20 2>/dev/null || :
}

# It answers, it is the new one, and it stays the same process.
is_well() {
    [ "$(serving)" = "$new" ] || { why="$(serving) serves" && return 1; }
    first=$(worker)
    answer=$("$base/current/lbctl" status --output json 2>&1) || { why=$answer && return 1; }
    left=$watch
    while [ "$left" -gt 0 ]; do
        sleep 1
        left=$((left - 1))
        if [ "$(systemctl is-active lbctl.service)" != active ] || [ "$(worker)" != "$first" ]; then
            why="it crashed within $((watch - left)) s"
            return 1
        fi
    done
}

go_back() {
    if [ -z "$old" ] || [ "$old" = "$new" ]; then
        systemctl disable --now lbctl.service >/dev/null 2>&1 || :
        rm -f "$base/current"
        # One that was installed in another way comes back with its own unit.
        rm -f "$unit"
        systemctl daemon-reload
        systemctl enable --now lbctl.service >/dev/null 2>&1 || :
        fail 96 "$1: $(log_since)"
    fi
    flip "$old"
    if [ "$(systemctl is-active lbctl.service)" = active ]; then
        [ "$(serving)" = "$old" ] || "$base/current/lbctl" upgrade >/dev/null 2>&1 ||
            systemctl restart lbctl.service >/dev/null 2>&1 || :
    else
        systemctl reset-failed lbctl.service 2>/dev/null || :
        systemctl restart lbctl.service >/dev/null 2>&1 || :
    fi
    if [ "$(serving)" = "$old" ]; then
        fail 96 "$1; release $old serves: $(log_since)"
    fi
    fail 96 "$1, and release $old does not serve either: $(log_since)"
}

began=$(date +%s)
systemctl enable lbctl.service >/dev/null 2>&1
if [ "$(systemctl is-active lbctl.service)" = active ]; then
    flip "$new"
    if [ "$(tr '\0' '\n' <"/proc/$(main_process)/cmdline" | head -n 1)" != "$base/current/lbctl" ]; then
        # It was started as another program, which an upgrade would start again.
        said=$(systemctl restart lbctl.service 2>&1) || go_back "it does not start: $said"
    elif [ "$(serving)" != "$new" ]; then
        # The one that serves knows best how it is asked.
        said=$("$base/releases/$old/lbctl" upgrade 2>&1) || go_back "it does not take over: $said"
    fi
else
    flip "$new"
    systemctl reset-failed lbctl.service 2>/dev/null || :
    said=$(systemctl start lbctl.service 2>&1) || go_back "it does not start: $said"
fi
is_well || go_back "it is not well: $why"
last=$(tail -n 1 "$base/history" 2>/dev/null | cut -d ' ' -f 1 || :)
[ "$last" = "$new" ] || echo "$new $(date -u +%Y-%m-%dT%H:%M:%SZ)" >>"$base/history"
