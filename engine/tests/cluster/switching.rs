//! Another overlay for all, while broadcasts flow.

use std::time::Duration;

use overlane::config::OverlayChoice;
use overlane::{OverlayKind, SwitchError};

use crate::nodes::{broadcasts_reach_all, cluster};
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn every_overlay_takes_the_place_of_another() {
    let mut members = cluster(6, OverlayChoice::FullMesh);
    let order = [
        OverlayKind::HyParView,
        OverlayKind::ClientServer,
        OverlayKind::PubSub,
        OverlayKind::FullMesh,
    ];
    for (round, kind) in order.into_iter().enumerate() {
        let by = round % members.len();
        let view = members[by]
            .cluster()
            .switch_overlay(kind, &[], PATIENCE)
            .expect("all are there");
        assert_eq!((view.kind, view.next), (kind, None));
        wait_until(
            "all have switched",
            || {
                let overlays = members.iter().map(|member| member.cluster().overlay());
                overlays
                    .map(|view| (view.epoch, view.kind))
                    .collect::<Vec<_>>()
            },
            |views| views.iter().all(|seen| *seen == (view.epoch, kind)),
        );
        broadcasts_reach_all(&mut members, round);
    }
    let same = members[0]
        .cluster()
        .switch_overlay(OverlayKind::FullMesh, &[], PATIENCE);
    assert_eq!(
        same,
        Err(SwitchError::AlreadyCurrent(OverlayKind::FullMesh))
    );
}
