//! The program as its users see it: the real `lbctl` between real clients and real servers, one
//! module for each thing that an operator would notice.

#[cfg(test)]
mod architecture;
