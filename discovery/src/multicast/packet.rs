//! A beacon as bytes, and its signature. No I/O, no clock.
//!
//! All numbers in network order:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `OVLB` |
//! | 1 | version, 1 |
//! | 1 | 1 if it is signed, else 0 |
//! | 8 | time, in milliseconds since 1970 |
//! | 8 | incarnation of the node |
//! | 8 | sequence: grows with each beacon of the incarnation |
//! | 1 + n | name of the cluster |
//! | 1 + n | name of the node |
//! | 1 | count of addresses, at most 8; each 4 or 6, the address, and a port |
//! | 32 | if it is signed: HMAC-SHA-256 of all before |

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secrets;

/// Largest packet: two names of 255 bytes, eight addresses and the rest fit, and an Ethernet frame holds it.
pub const PACKET_BYTES_MAX: usize = 1_024;

const MAGIC: &[u8; 4] = b"OVLB";
const VERSION: u8 = 1;
const TAG_BYTES: usize = 32;
/// As many as the membership has of a node.
const ADDRESSES_MAX: usize = 8;

/// What a node says to a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Its cluster: 1 to 255 bytes.
    pub cluster: String,
    /// Its name: 1 to 255 bytes.
    pub node: String,
    /// The number of its start.
    pub incarnation: u64,
    /// Where it is found, best first.
    pub addresses: Vec<SocketAddr>,
    /// Which beacon of the incarnation it is.
    pub sequence: u64,
    /// When it was sent, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Beacon {
    /// As it is for who heard it from there: link-local addresses are those of the interface on which it came.
    pub(super) fn heard_from(mut self, from: SocketAddr) -> Self {
        let SocketAddr::V6(from) = from else {
            return self;
        };
        for address in &mut self.addresses {
            if let SocketAddr::V6(address) = address
                && address.ip().is_unicast_link_local()
            {
                address.set_scope_id(from.scope_id());
            }
        }
        self
    }
}

/// Why a packet was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Not a beacon at all.
    #[error("it is no beacon")]
    NoBeacon,
    /// Of another version.
    #[error("it is a beacon of another version")]
    Version,
    /// Not signed, and this node has a secret.
    #[error("it is not signed; give its sender the secret")]
    Unsigned,
    /// Signed, and this node has no secret.
    #[error("it is signed, and this node has no secret; give it the secret")]
    NoSecret,
    /// Signed with another secret, or changed on its way.
    #[error("it is signed with another secret, or was changed on its way")]
    Signature,
    /// Signed well, and not as long as it says.
    #[error("it is not as its version says")]
    Malformed,
    /// Of another cluster.
    #[error("it is of another cluster")]
    OtherCluster,
    /// Its time is outside the window.
    #[error("its time is too far from this host's; compare the clocks")]
    Time,
    /// Not newer than the last of its sender.
    #[error("it is a repetition")]
    Repeated,
    /// There is no room for one more sender.
    #[error("there are too many senders")]
    Full,
}

/// The bytes of a beacon, signed if there is a secret. Names are cut after 255 bytes, addresses after eight.
pub(super) fn write(beacon: &Beacon, secret: Option<&Secrets>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PACKET_BYTES_MAX);
    bytes.extend_from_slice(MAGIC);
    bytes.extend([VERSION, u8::from(secret.is_some())]);
    for number in [beacon.time_ms, beacon.incarnation, beacon.sequence] {
        bytes.extend(number.to_be_bytes());
    }
    for name in [&beacon.cluster, &beacon.node] {
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        bytes.push(length);
        bytes.extend(&name.as_bytes()[..length.into()]);
    }
    let addresses = &beacon.addresses[..beacon.addresses.len().min(ADDRESSES_MAX)];
    bytes.push(u8::try_from(addresses.len()).unwrap_or_default());
    for address in addresses {
        match address.ip() {
            IpAddr::V4(ip) => {
                bytes.push(4);
                bytes.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes.push(6);
                bytes.extend(ip.octets());
            }
        }
        bytes.extend(address.port().to_be_bytes());
    }
    if let Some(key) = secret.and_then(|secret| secret.each().next()) {
        let tag = mac(key, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&tag);
    }
    bytes
}

/// The beacon in a packet. What is signed is looked at no further before its signature is.
pub(super) fn read(bytes: &[u8], secret: Option<&Secrets>) -> Result<Beacon, Rejected> {
    if bytes.len() > PACKET_BYTES_MAX {
        return Err(Rejected::NoBeacon);
    }
    let mut reader = Reader(bytes);
    if reader.array::<4>().ok() != Some(*MAGIC) {
        return Err(Rejected::NoBeacon);
    }
    if reader.byte()? != VERSION {
        return Err(Rejected::Version);
    }
    match (reader.byte()?, secret) {
        (0, None) => {}
        (0, Some(_)) => return Err(Rejected::Unsigned),
        (1, None) => return Err(Rejected::NoSecret),
        (1, Some(secret)) => {
            let split = bytes
                .len()
                .checked_sub(TAG_BYTES)
                .ok_or(Rejected::Malformed)?;
            let (signed, tag) = bytes.split_at(split);
            let is_right = |key| mac(key, signed).verify_slice(tag).is_ok();
            if !secret.each().any(is_right) {
                return Err(Rejected::Signature);
            }
            let rest = reader
                .0
                .len()
                .checked_sub(TAG_BYTES)
                .ok_or(Rejected::Malformed)?;
            reader.0 = &reader.0[..rest];
        }
        _ => return Err(Rejected::Malformed),
    }
    reader.beacon()
}

fn mac(key: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(bytes);
    mac
}

/// What is left of a packet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Rejected> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Rejected::Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, Rejected> {
        Ok(self.array::<1>()?[0])
    }

    fn number(&mut self) -> Result<u64, Rejected> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn port(&mut self) -> Result<u16, Rejected> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn name(&mut self) -> Result<String, Rejected> {
        let length = usize::from(self.byte()?);
        let (name, rest) = self.0.split_at_checked(length).ok_or(Rejected::Malformed)?;
        self.0 = rest;
        match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() && !name.contains(char::is_control) => Ok(name.to_owned()),
            _ => Err(Rejected::Malformed),
        }
    }

    fn address(&mut self) -> Result<SocketAddr, Rejected> {
        let ip = match self.byte()? {
            4 => IpAddr::from(self.array::<4>()?),
            6 => IpAddr::from(self.array::<16>()?),
            _ => return Err(Rejected::Malformed),
        };
        Ok(SocketAddr::new(ip, self.port()?))
    }

    fn beacon(mut self) -> Result<Beacon, Rejected> {
        let (time_ms, incarnation, sequence) = (self.number()?, self.number()?, self.number()?);
        let (cluster, node) = (self.name()?, self.name()?);
        let count = usize::from(self.byte()?);
        if count > ADDRESSES_MAX {
            return Err(Rejected::Malformed);
        }
        let addresses = (0..count)
            .map(|_| self.address())
            .collect::<Result<_, _>>()?;
        if !self.0.is_empty() {
            return Err(Rejected::Malformed);
        }
        Ok(Beacon {
            cluster,
            node,
            incarnation,
            addresses,
            sequence,
            time_ms,
        })
    }
}

/// Reads arbitrary bytes as a packet, with and without a secret: it must not panic, and what is not signed is not believed.
#[doc(hidden)]
pub fn fuzz_packet(bytes: &[u8]) {
    let secret = Secrets::read("a secret of the fuzzer").ok();
    assert!(
        read(bytes, secret.as_ref()).is_err(),
        "nobody has signed that"
    );
    if let Ok(beacon) = read(bytes, None) {
        assert_eq!(write(&beacon, None), bytes, "what is read is written so");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::multicast) fn beacon() -> Beacon {
        Beacon {
            cluster: "c".into(),
            node: "n1".into(),
            incarnation: 7,
            addresses: vec![
                "10.0.0.1:7400".parse().unwrap(),
                "[fd00::1]:7401".parse().unwrap(),
            ],
            sequence: 3,
            time_ms: 1_000_000,
        }
    }

    fn secret(text: &str) -> Secrets {
        Secrets::read(text).unwrap()
    }

    const ONE: &str = "the first of all secrets";
    const TWO: &str = "another secret than that";

    #[test]
    fn a_beacon_is_read_as_it_was_written() {
        let one = secret(ONE);
        assert_eq!(
            read(&write(&beacon(), Some(&one)), Some(&one)),
            Ok(beacon())
        );
        assert_eq!(read(&write(&beacon(), None), None), Ok(beacon()));
        let largest = Beacon {
            cluster: "c".repeat(255),
            node: "n".repeat(255),
            addresses: vec!["[fd00::1]:7401".parse().unwrap(); ADDRESSES_MAX],
            ..beacon()
        };
        let bytes = write(&largest, Some(&one));
        assert!(bytes.len() <= PACKET_BYTES_MAX);
        assert_eq!(read(&bytes, Some(&one)), Ok(largest));
    }

    #[test]
    fn the_bytes_of_a_beacon_are_these() {
        let bytes = write(&beacon(), None);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "4f564c42\
             0100\
             00000000000f4240\
             0000000000000007\
             0000000000000003\
             0163\
             026e31\
             02\
             040a0000011ce8\
             06fd0000000000000000000000000000011ce9"
        );
    }

    #[test]
    fn who_has_another_secret_or_none_is_told_apart() {
        let (one, two) = (secret(ONE), secret(TWO));
        let signed = write(&beacon(), Some(&one));
        assert_eq!(read(&signed, Some(&two)), Err(Rejected::Signature));
        assert_eq!(read(&signed, None), Err(Rejected::NoSecret));
        assert_eq!(
            read(&write(&beacon(), None), Some(&one)),
            Err(Rejected::Unsigned)
        );
        // While it is rotated both count, and the first one signs.
        let both = secret(&format!("{TWO}\n{ONE}"));
        assert!(read(&signed, Some(&both)).is_ok());
        assert!(read(&write(&beacon(), Some(&both)), Some(&two)).is_ok());
    }

    #[test]
    fn every_bit_of_a_signed_beacon_counts() {
        let one = secret(ONE);
        let signed = write(&beacon(), Some(&one));
        for bit in 0..signed.len() * 8 {
            let mut changed = signed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&changed, Some(&one)).is_err(), "bit {bit}");
        }
        for length in 0..signed.len() {
            assert!(
                read(&signed[..length], Some(&one)).is_err(),
                "{length} bytes"
            );
        }
        let longer = [signed.as_slice(), &[0]].concat();
        assert!(read(&longer, Some(&one)).is_err());
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in prop::collection::vec(any::<u8>(), 0..PACKET_BYTES_MAX + 8)) {
            fuzz_packet(&bytes);
        }

        #[test]
        fn no_packet_that_was_damaged_panics(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = write(&beacon(), None);
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(1 + cut.index(bytes.len()));
            fuzz_packet(&bytes);
        }
    }
}
