# The document from the standard input, which a balancer without a history begins with.
mkdir -p /etc/lbctl
cat >/etc/lbctl/.lb.toml.part
chown root:lbctl /etc/lbctl/.lb.toml.part
chmod 640 /etc/lbctl/.lb.toml.part
mv /etc/lbctl/.lb.toml.part /etc/lbctl/lb.toml
