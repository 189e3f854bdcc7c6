//! What a node does when those around it are broken, hostile or only unlucky: each loses its own
//! connection, with a counted reason, while honest traffic goes on and nothing of it is lost.
//!
//! The hostile side speaks over plain sockets (`stranger`); beside it two nodes talk and keep
//! account (`honest`).

#[path = "../support/mod.rs"]
mod support;

mod acknowledgements;
mod altered;
mod causes;
mod chaos;
mod cluster;
mod compression;
mod connections;
mod dials;
mod extensions;
mod floods;
mod fragments;
mod frames;
mod handshakes;
mod honest;
mod lanes;
mod mailboxes;
mod openssl;
mod resume;
mod sessions;
mod silence;
mod stranger;
mod streams;
