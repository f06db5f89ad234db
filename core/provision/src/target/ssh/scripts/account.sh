# The user that the balancer runs as.
getent group lbctl >/dev/null || groupadd --system lbctl
getent passwd lbctl >/dev/null || useradd --system --gid lbctl --home-dir "$state" --no-create-home \
    --shell /usr/sbin/nologin --comment "lbctl load balancer" lbctl
