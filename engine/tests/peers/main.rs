//! Peers, lanes and channels that come and go: on real sockets, with real nodes and with peers spoken by hand.

#[path = "../hostile/stranger.rs"]
#[allow(dead_code, reason = "some of what it can say is for other tests")]
mod stranger;
#[path = "../support/mod.rs"]
mod support;

mod channels;
mod lame_duck;
mod lanes;
mod lifecycle;
mod presence;
mod protection;
mod reach;
mod reconnect;
mod renewal;
mod renewal_held;
mod renewal_withdrawn;
