# Takes the balancer away. Open requests finish first, and the mark goes last.
systemctl disable --now lbctl.service >/dev/null 2>&1 || :
rm -f "$unit"
systemctl daemon-reload
systemctl reset-failed lbctl.service 2>/dev/null || :
case $(readlink "$program" 2>/dev/null || :) in
"$base"/*) rm -f "$program" ;;
esac
rm -rf "$state" /etc/lbctl /var/log/lbctl
! getent passwd lbctl >/dev/null || userdel lbctl
! getent group lbctl >/dev/null || groupdel lbctl
rm -rf "$base"
