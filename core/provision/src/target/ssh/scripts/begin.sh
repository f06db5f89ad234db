# Before each script: where everything is, and one at a time on a machine.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022
base=/opt/lbctl
unit=/etc/systemd/system/lbctl.service
program=/usr/local/bin/lbctl
state=/var/lib/lbctl

fail() {
    code=$1
    shift
    echo "$*" >&2
    exit "$code"
}

# Settings of whoever logged in are not those of the balancer.
unset LBCTL_BALANCER LBCTL_TOKEN LBCTL_TOKEN_FILE LBCTL_SETTINGS LBCTL_STATE_DIR LBCTL_CONFIG

main_process() { systemctl show --property=MainPID --value lbctl.service 2>/dev/null || :; }

# The release that serves: the worker is the newest child of the supervisor.
serving() {
    supervisor=$(main_process)
    [ "${supervisor:-0}" != 0 ] || return 0
    worker=
    for child in $(cat "/proc/$supervisor/task/$supervisor/children" 2>/dev/null); do worker=$child; done
    exe=$(readlink "/proc/${worker:-$supervisor}/exe" 2>/dev/null || :)
    # A service with a view of the file system of its own may have it below another root.
    case $exe in
    *"$base"/releases/*) exe=${exe##*"$base"/releases/} && echo "${exe%%/*}" ;;
    ?*) echo "$exe" ;;
    esac
}

worker() {
    supervisor=$(main_process)
    for child in $(cat "/proc/$supervisor/task/$supervisor/children" 2>/dev/null); do last=$child; done
    echo "${last:-}"
}

current() {
    link=$(readlink "$base/current" 2>/dev/null || :)
    echo "${link##*/}"
}
