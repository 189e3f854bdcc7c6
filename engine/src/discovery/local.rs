//! The nodes of this host and user: each socket in the folder of admin sockets is asked where its node listens.

use std::path::PathBuf;

use overlane_discovery::{Failure, Found, Place, Stop, Strategy};

use crate::admin::{self, Answer, Client, Request};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Local {
    folder: PathBuf,
    /// Nodes of other clusters are left out.
    cluster: String,
}

impl Local {
    pub(super) const fn new(folder: PathBuf, cluster: String) -> Self {
        Self { folder, cluster }
    }
}

impl Strategy for Local {
    fn look(&mut self, stop: &Stop) -> Result<Found, Failure> {
        let sockets = admin::sockets_in(&self.folder).map_err(|error| {
            let folder = self.folder.display();
            let right = "start nodes with `overlane node`, or name with `directory` where their admin sockets are";
            Failure::new(format!("the folder {folder} cannot be read: {error}; {right}"))
        })?;
        let mut found = Found::default();
        for (_, socket) in sockets {
            if stop.is_stopped() {
                break;
            }
            // One that does not answer was left by a dead process, or is about to stop.
            if let Ok(Answer::Status(status)) = Client::ask_once(&socket, &Request::Status {})
                && status.cluster == self.cluster
                && let Some(place) = Place::of_address(status.address)
            {
                found.add(place);
            }
        }
        Ok(found)
    }
}
