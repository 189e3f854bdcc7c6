//! The rules: which overlay fits what is measured, and why.
//!
//! Pure: measurements and thresholds in, one verdict for each rule out, in the order in which they count. Whether
//! one is followed, and when, is `judge`'s to decide.

use overlane_overlays::epoch::OverlayKind;
use serde::{Serialize, Serializer};

use super::measurements::Measurements;
use crate::config::{RuleSet, TopologyConfig};

/// Members that there must be for some of them to be servers, as many as a switch chooses at least.
const SERVERS_MIN: u64 = 3;

/// What one rule says of the measurements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Name of the rule.
    pub rule: String,
    /// The overlay that it is for.
    #[serde(serialize_with = "by_name")]
    pub to: OverlayKind,
    /// Conditions that must all hold.
    pub all: Vec<Condition>,
    /// Conditions of which one must hold, if there are any.
    pub any: Vec<Condition>,
    /// It would fire, but for what stands in its way in [`Analysis::blocked`](super::Analysis::blocked), and for the looks
    /// that it has to hold.
    pub holds: bool,
    /// Looks in a row in which it held.
    pub looks: u32,
    /// Why it does not hold; empty if it does.
    pub why_not: String,
}

/// A measurement beside its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Name of the measurement.
    pub what: String,
    /// Its value; none if it is not known, and then the condition does not hold.
    pub value: Option<u64>,
    /// How it is to be to the limit.
    pub must_be: MustBe,
    /// The limit.
    pub limit: u64,
    /// It is so.
    pub holds: bool,
}

/// How a value has to be to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MustBe {
    /// Greater than it.
    Above,
    /// Less than it.
    Below,
    /// Equal or greater.
    AtLeast,
}

/// What rules go by besides measurements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'r> {
    pub(super) rules: &'r TopologyConfig,
    pub(super) current: OverlayKind,
    /// The overlay of the workload that was chosen, and its name.
    pub(super) workload: Option<(&'r str, OverlayKind)>,
    /// Nobody has switched the overlay yet, and this node is new.
    pub(super) is_new: bool,
}

/// The overlay's name, in place of the name of the variant.
pub(super) fn by_name<S: Serializer>(kind: &OverlayKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

fn condition(what: &str, value: Option<u64>, must_be: MustBe, limit: u64) -> Condition {
    let holds = value.is_some_and(|value| match must_be {
        MustBe::Above => value > limit,
        MustBe::Below => value < limit,
        MustBe::AtLeast => value >= limit,
    });
    Condition {
        what: what.to_owned(),
        value,
        must_be,
        limit,
        holds,
    }
}

/// What every rule says, in the order in which they count.
pub(super) fn verdicts(found: &Measurements, given: &Given<'_>) -> Vec<Verdict> {
    let mut book = Book {
        found,
        given,
        verdicts: Vec::new(),
    };
    if given.rules.rules == RuleSet::Default {
        book.by_size_alone();
    }
    if let Some((name, overlay)) = given.workload {
        book.add(&format!("workload_{name}"), overlay, None, vec![], vec![]);
    }
    for rule in &given.rules.gauges {
        let name = format!("gauge_{}", rule.gauge);
        let value = found.gauges.get(&rule.gauge).copied();
        let above = condition(&rule.gauge, value, MustBe::Above, rule.above);
        book.add(&name, rule.overlay, None, vec![above], vec![]);
    }
    match given.rules.rules {
        RuleSet::Default => book.by_measurements(),
        RuleSet::Scale => book.by_scale(),
    }
    book.verdicts
}

/// Writes verdicts.
struct Book<'r> {
    found: &'r Measurements,
    given: &'r Given<'r>,
    verdicts: Vec<Verdict>,
}

impl Book<'_> {
    fn members(&self, must_be: MustBe, limit: u64) -> Condition {
        condition("members", Some(self.found.members), must_be, limit)
    }

    /// Servers can be had.
    fn servers(&self) -> Condition {
        let fit = self.found.members.saturating_sub(self.found.suspects);
        condition(
            "members_that_answer",
            Some(fit),
            MustBe::AtLeast,
            SERVERS_MIN,
        )
    }

    /// Adds a rule for these overlays in force; none: all others.
    fn add(
        &mut self,
        rule: &str,
        to: OverlayKind,
        from: Option<&[OverlayKind]>,
        all: Vec<Condition>,
        any: Vec<Condition>,
    ) {
        let current = self.given.current;
        let is_size_only = rule.starts_with("size_only");
        let why_not = if current == to {
            format!("{to} is the overlay already")
        } else if from.is_some_and(|from| !from.contains(&current)) {
            format!("it is not for {current}")
        } else if let Some(missing) = all.iter().find(|condition| !condition.holds) {
            missing.why_not()
        } else if !any.is_empty() && !any.iter().any(|condition| condition.holds) {
            let why: Vec<_> = any.iter().map(Condition::why_not).collect();
            why.join(", ")
        } else if !is_size_only && self.is_excluded(to) {
            format!("a limit of size alone rules {to} out")
        } else {
            String::new()
        };
        self.verdicts.push(Verdict {
            rule: rule.to_owned(),
            to,
            all,
            any,
            holds: why_not.is_empty(),
            looks: 0,
            why_not,
        });
    }

    /// Whether a limit of size alone would lead away from that overlay at once.
    fn is_excluded(&self, to: OverlayKind) -> bool {
        let rules = self.given.rules;
        if rules.rules != RuleSet::Default {
            return false;
        }
        let members = self.found.members;
        let above = |limit: u64| limit > 0 && members > limit;
        let is_small = members < rules.size_only_mesh_below;
        match to {
            OverlayKind::FullMesh => {
                above(rules.size_only_hyparview_above) || above(rules.size_only_servers_above)
            }
            OverlayKind::HyParView => is_small || above(rules.size_only_servers_above),
            OverlayKind::ClientServer => is_small,
            OverlayKind::PubSub => above(rules.size_only_servers_above),
        }
    }

    fn by_size_alone(&mut self) {
        use OverlayKind::{ClientServer, FullMesh, HyParView};
        let rules = self.given.rules;
        let small = self.members(MustBe::Below, rules.size_only_mesh_below);
        let from = [HyParView, ClientServer];
        self.add(
            "size_only_mesh_below",
            FullMesh,
            Some(&from),
            vec![small],
            vec![],
        );
        if rules.size_only_servers_above > 0 {
            let large = self.members(MustBe::Above, rules.size_only_servers_above);
            let all = vec![large, self.servers()];
            self.add("size_only_servers_above", ClientServer, None, all, vec![]);
        }
        if rules.size_only_hyparview_above > 0 {
            let large = self.members(MustBe::Above, rules.size_only_hyparview_above);
            let from = [FullMesh];
            self.add(
                "size_only_hyparview_above",
                HyParView,
                Some(&from),
                vec![large],
                vec![],
            );
        }
    }

    /// The set of seed 003: what is measured gives the reason, size says what would be better.
    fn by_measurements(&mut self) {
        use OverlayKind::{ClientServer, FullMesh, HyParView};
        if self.given.workload.is_some() {
            return;
        }
        let (rules, found) = (self.given.rules, self.found);
        if self.given.is_new {
            let small = self.members(MustBe::Below, rules.mesh_below);
            self.add("initial_mesh", FullMesh, None, vec![small], vec![]);
            let middle = [
                self.members(MustBe::AtLeast, rules.mesh_below),
                self.members(MustBe::Below, rules.servers_above.saturating_add(1)),
            ];
            self.add("initial_hyparview", HyParView, None, middle.into(), vec![]);
            let large = self.members(MustBe::Above, rules.servers_above);
            let all = vec![large, self.servers()];
            self.add("initial_servers", ClientServer, None, all, vec![]);
        }
        let at_most = |what, value, limit| condition(what, value, MustBe::Above, limit);
        let slow = vec![
            at_most("rtt_p99_us", found.rtt_p99_us, rules.rtt_p99_us_max),
            condition(
                "connectivity_percent",
                found.connectivity_percent,
                MustBe::Below,
                rules.connectivity_percent_min,
            ),
        ];
        let small = self.members(MustBe::Below, rules.mesh_below);
        self.add(
            "slow_hyparview",
            FullMesh,
            Some(&[HyParView]),
            vec![small],
            slow,
        );
        let costly = vec![
            at_most("partitions", Some(found.partitions), rules.partitions_max),
            at_most("lane_losses", found.lane_losses, rules.lane_losses_max),
            at_most("cpu_percent", found.cpu_percent, rules.cpu_percent_max),
        ];
        let large = self.members(MustBe::Above, rules.hyparview_above);
        self.add(
            "costly_mesh",
            HyParView,
            Some(&[FullMesh]),
            vec![large],
            costly,
        );
        let wide = vec![
            at_most(
                "bandwidth_percent",
                found.bandwidth_percent,
                rules.bandwidth_percent_max,
            ),
            at_most("hops_p99", found.hops_p99, rules.hops_max),
        ];
        let huge = self.members(MustBe::Above, rules.servers_above);
        let all = vec![huge, self.servers()];
        self.add("wide_cluster", ClientServer, None, all, wide);
    }

    /// The set of seed 004: by size alone, each limit with a margin on the side that is not in force.
    fn by_scale(&mut self) {
        use OverlayKind::{ClientServer, FullMesh, HyParView};
        if self.given.workload.is_some() {
            return;
        }
        let rules = self.given.rules;
        let up = |limit: u64| limit * (100 + rules.margin_percent) / 100;
        let down = |limit: u64| limit * (100 - rules.margin_percent) / 100;
        let (low, high) = (rules.scale_mesh_below, rules.scale_servers_below);
        let (low_here, high_here) = match self.given.current {
            FullMesh => (up(low), up(high)),
            HyParView => (down(low), down(high)),
            _ => (low, high),
        };
        let small = self.members(MustBe::Below, down(low));
        self.add("scale_mesh", FullMesh, None, vec![small], vec![]);
        let middle = vec![
            self.members(MustBe::AtLeast, low_here),
            self.members(MustBe::Below, high_here),
            self.servers(),
        ];
        self.add("scale_servers", ClientServer, None, middle, vec![]);
        let large = self.members(MustBe::AtLeast, up(high));
        self.add("scale_hyparview", HyParView, None, vec![large], vec![]);
    }
}

impl Condition {
    fn why_not(&self) -> String {
        let Self { what, limit, .. } = self;
        let Some(value) = self.value else {
            return format!("{what} is not known");
        };
        match self.must_be {
            MustBe::Above => format!("{what} is {value}, not above {limit}"),
            MustBe::Below => format!("{what} is {value}, not below {limit}"),
            MustBe::AtLeast => format!("{what} is {value}, not at least {limit}"),
        }
    }

    /// One that holds, in words.
    pub(super) fn why(&self) -> String {
        let Self { what, limit, .. } = self;
        let value = self.value.unwrap_or_default();
        match self.must_be {
            MustBe::Above => format!("{what} is {value}, above {limit}"),
            MustBe::Below => format!("{what} is {value}, below {limit}"),
            MustBe::AtLeast => format!("{what} is {value}, at least {limit}"),
        }
    }
}

impl Verdict {
    /// The conditions that hold, in words.
    pub(super) fn reasons(&self) -> Vec<String> {
        let conditions = self.all.iter().chain(&self.any);
        let holding = conditions.filter(|condition| condition.holds);
        holding.map(Condition::why).collect()
    }
}
