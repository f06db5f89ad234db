//! Hashes that are the same on every balancer and in every version: cookies and the choice of a
//! server by address depend on them.

/// `SipHash`-2-4 with a key of our own, which is a constant: it scatters names, it protects none.
pub(crate) fn stable(parts: &[&[u8]]) -> u64 {
    let mut state = Sip::new(0x6c62_6374_6c2e_7374, 0x6162_6c65_2e68_6173);
    for part in parts {
        // The length before each part keeps ("ab", "c") and ("a", "bc") apart.
        state.write(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        state.write(part);
    }
    state.finish()
}

/// Scatters a number over all 64 bits (the finish of `SplitMix64`).
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A number strictly between 0 and 1 from the upper bits of a scattered number.
#[expect(
    clippy::cast_precision_loss,
    reason = "52 bits fit the mantissa exactly"
)]
pub(crate) fn unit(scattered: u64) -> f64 {
    ((scattered >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// The state of `SipHash`-2-4 (Aumasson and Bernstein, 2012). The standard library's is not promised
/// to stay as it is.
struct Sip {
    v: [u64; 4],
    tail: u64,
    length: usize,
}

impl Sip {
    const fn new(k0: u64, k1: u64) -> Self {
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            length: 0,
        }
    }

    const fn round(&mut self) {
        let [mut v0, mut v1, mut v2, mut v3] = self.v;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        self.v = [v0, v1, v2, v3];
    }

    const fn block(&mut self, block: u64) {
        self.v[3] ^= block;
        self.round();
        self.round();
        self.v[0] ^= block;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.tail |= u64::from(*byte) << (8 * (self.length % 8));
            self.length += 1;
            if self.length.is_multiple_of(8) {
                self.block(self.tail);
                self.tail = 0;
            }
        }
    }

    fn finish(mut self) -> u64 {
        let length = u64::try_from(self.length % 256).unwrap_or_default();
        self.block(self.tail | length << 56);
        self.v[2] ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.v.into_iter().fold(0, |sum, part| sum ^ part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_other_versions_and_machines_name_the_same_server() {
        // The vectors of the paper's reference implementation.
        let mut sip = Sip::new(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        sip.write(&(0..15).collect::<Vec<u8>>());
        assert_eq!(sip.finish(), 0xa129_ca61_49be_45e5);
        let empty = Sip::new(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(empty.finish(), 0x726f_db47_dd0e_0e31);
    }

    #[test]
    fn names_cannot_be_shifted_into_each_other() {
        assert_ne!(stable(&[b"ab", b"c"]), stable(&[b"a", b"bc"]));
    }
}
