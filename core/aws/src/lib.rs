//! What lbctl asks of EC2, and nothing of what it does with it.
