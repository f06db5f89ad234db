//! The program as its users see it: the real `lbctl` between real clients and real servers, one
//! module for each thing that an operator would notice.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod asp_net;
#[cfg(test)]
mod dead_servers;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod windows_auth;
