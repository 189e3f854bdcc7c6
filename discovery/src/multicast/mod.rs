//! Nodes of the same network, which say where they are to all who listen: by multicast of IP version 4 or 6, or by
//! broadcast.
//!
//! What is said is a [`Beacon`]: `packet` is its bytes and signature, `guard` whether one is new or a repetition,
//! `sightings` whom has been heard of lately, `socket` the sockets. Beacons are signed with the cluster's secret; without
//! one anybody in the network could send nodes anywhere, so that has to be asked for.

mod guard;
mod packet;
mod sightings;
mod socket;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::found::{Again, Failure, Found};
use crate::secret::Secrets;
use crate::{Stop, Strategy};
use guard::Guard;
use sightings::Sightings;
use socket::{Heard, Sockets};

pub use guard::{SENDERS_MAX, WINDOW};
pub use packet::{Beacon, PACKET_BYTES_MAX, Rejected, fuzz_packet};
pub use socket::Network;

/// Beacons that are missed before a node counts as gone. A guess: one lost packet, and one more.
const MISSED_MAX: u32 = 3;
/// How soon a newcomer hears of this node. A guess: before anybody notices, and so that the answers of many nodes spread.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How long a socket waits before it is looked whether to stop.
const PIECE: Duration = Duration::from_millis(200);

/// See the module's text.
#[derive(Debug)]
pub struct Multicast {
    network: Network,
    /// None: beacons are neither signed nor checked.
    secret: Option<Secrets>,
    /// Where it is read again before each beacon, and what was wrong with that when it was last told.
    secret_file: Option<PathBuf>,
    wrong: Option<String>,
    beacon: Beacon,
    /// The longest time between two beacons.
    period: Duration,
    sockets: Option<Sockets>,
    guard: Guard,
    sightings: Sightings,
    random: fastrand::Rng,
    start: Instant,
    /// When the next beacon goes out.
    next: Instant,
}

impl Multicast {
    /// Says to that network where this node is, at most a `period` apart, and listens for others.
    #[must_use]
    pub fn new(
        network: Network,
        secret: Option<Secrets>,
        beacon: Beacon,
        period: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            network,
            secret,
            secret_file: None,
            wrong: None,
            beacon,
            period,
            sockets: None,
            guard: Guard::default(),
            sightings: Sightings::new(period * MISSED_MAX),
            random: fastrand::Rng::new(),
            start: now,
            next: now,
        }
    }

    /// The secrets are those of that file, as it is from time to time: so they can be changed while all look for each other.
    #[must_use]
    pub fn with_secret_file(mut self, path: PathBuf) -> Self {
        self.secret_file = Some(path);
        self
    }

    /// While the file cannot be used, what counted before goes on.
    fn read_secret(&mut self) {
        let Some(path) = &self.secret_file else {
            return;
        };
        match Secrets::of_file(path) {
            Ok(secrets) => {
                self.secret = Some(secrets);
                self.wrong = None;
            }
            Err(error) => {
                let error = Some(error.to_string());
                if error != self.wrong {
                    let error = error.as_deref().unwrap_or_default();
                    tracing::warn!(error, "beacons go by the secret as it was before");
                }
                self.wrong = error;
            }
        }
    }

    /// Sends a beacon if it is time, and takes what comes, for a piece of time. True if somebody new was heard of.
    fn turn(&mut self, refused: &mut u64) -> Result<bool, Failure> {
        let now = Instant::now();
        if now >= self.next {
            self.send()?;
            // From half a period to a whole one, so that nodes that started together drift apart.
            self.next = now + self.period.mul_f64(0.5 + 0.5 * self.random.f64());
        }
        let sockets = match self.sockets.take() {
            Some(sockets) => sockets,
            None => Sockets::open(&self.network)?,
        };
        let wait = self
            .next
            .saturating_duration_since(Instant::now())
            .min(PIECE);
        let heard = sockets.hear(wait);
        self.sockets = Some(sockets);
        match heard {
            Ok(Some(Heard { bytes, from })) => match self.take(&bytes, from) {
                Ok(is_new) => Ok(is_new),
                Err(rejected) => {
                    tracing::debug!(%from, %rejected, "a beacon was not believed");
                    *refused += 1;
                    Ok(false)
                }
            },
            Ok(None) => Ok(false),
            Err(error) => {
                self.sockets = None;
                Err(self.failed("listen to", &error))
            }
        }
    }

    fn send(&mut self) -> Result<(), Failure> {
        let sockets = match self.sockets.take() {
            Some(sockets) => sockets,
            None => Sockets::open(&self.network)?,
        };
        self.read_secret();
        self.beacon.sequence += 1;
        self.beacon.time_ms = unix_ms();
        let bytes = packet::write(&self.beacon, self.secret.as_ref());
        let sent = sockets.send(&bytes);
        // On failure they are made anew the next time: the interface may be another one then.
        sent.map_err(|error| self.failed("send to", &error))?;
        self.sockets = Some(sockets);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) -> Result<bool, Rejected> {
        let beacon = packet::read(bytes, self.secret.as_ref())?.heard_from(from);
        if beacon.cluster != self.beacon.cluster {
            return Err(Rejected::OtherCluster);
        }
        if beacon.node == self.beacon.node && beacon.incarnation == self.beacon.incarnation {
            // This node hears itself.
            return Ok(false);
        }
        self.guard.admit(&beacon, unix_ms())?;
        let is_new = self.sightings.note(&beacon, self.start.elapsed());
        if is_new {
            let soon = Instant::now() + ANSWER_WITHIN.mul_f64(self.random.f64());
            self.next = self.next.min(soon);
        }
        Ok(is_new)
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> Failure {
        Failure::new(format!(
            "it cannot {what} {}: {error}; check the group and the interface",
            self.network
        ))
    }
}

impl Strategy for Multicast {
    fn look(&mut self, stop: &Stop) -> Result<Found, Failure> {
        let until = Instant::now() + self.period;
        let mut refused = 0;
        while !stop.is_stopped() && Instant::now() < until {
            if self.turn(&mut refused)? {
                break;
            }
        }
        let places = self.sightings.places(self.start.elapsed());
        Ok(Found::of(places).again(Again::AtOnce).refused(refused))
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
