//! `overlane topology analyze`, `history` and `rules`: what rules say of the cluster and why, what became of switches, and
//! the rules themselves, shown and set.

use overlane::admin::{Answer, Request};
use overlane::config::Printable;
use serde_json::Value;

use super::{Target, unexpected};
use crate::ending::{Ending, Failure};
use crate::table::{Column, table};

/// Asks, and prints what comes with `text`.
pub(super) fn show(
    request: &Request,
    target: &Target,
    text: fn(&Value) -> String,
) -> Result<Ending, Failure> {
    match target.ask(request)? {
        Answer::Topology(value) => target.print(&value, || text(&value)),
        other => Err(unexpected(&other)),
    }
}

/// What rules would do now, and why.
pub(super) fn analysis(value: &Value) -> String {
    let rows = list(&value["rules"]).map(|rule| {
        let holds = if rule["holds"] == true { "yes" } else { "no" };
        vec![
            word(&rule["rule"]),
            word(&rule["to"]),
            holds.to_owned(),
            word(&rule["looks"]),
            word(&rule["why_not"]),
        ]
    });
    let columns = [
        Column::Word("rule"),
        Column::Word("leads to"),
        Column::Word("holds"),
        Column::Number("looks"),
        Column::Word("why not"),
    ];
    let blocked: Vec<_> = list(&value["blocked"]).map(reason).collect();
    let blocked = match blocked.as_slice() {
        [] => "nothing stands in the way of the first that holds".to_owned(),
        reasons => format!("none is followed: {}", reasons.join(", ")),
    };
    let workload = match &value["workload"] {
        Value::Null => String::new(),
        name => format!(", workload {}", word(name)),
    };
    let foreseen = forecast(&value["forecast"]);
    let measured = value["measurements"].as_object().into_iter().flatten();
    let measured = measured.filter(|(_, found)| !found.is_null() && !found.is_array());
    let measured: Vec<_> = measured
        .filter(|(_, found)| !found.is_object())
        .map(|(name, found)| format!("{name} {}", word(found)))
        .collect();
    format!(
        "overlay {}{workload}; a rule has to hold for {} looks\n{}\n{blocked}\nmeasured: {}\n{foreseen}\n",
        word(&value["overlay"]),
        word(&value["looks_needed"]),
        table(&columns, &rows.collect::<Vec<_>>()),
        measured.join(", "),
    )
}

/// Where size and load lead to, and what of that rules go by.
fn forecast(value: &Value) -> String {
    if value.is_null() {
        return "forecast: off, as forecast_looks is 0".to_owned();
    }
    let trends = list(&value["trends"]).map(|trend| {
        let why_not = word(&trend["why_not"]);
        let why_not = if trend["is_steady"] == true {
            String::new()
        } else {
            format!(" (no trend: {why_not})")
        };
        let [what, now, ahead] = ["what", "now", "ahead"].map(|key| word(&trend[key]));
        format!("{what} {now} to {ahead}{why_not}")
    });
    let trends: Vec<_> = trends.collect();
    let looks = word(&value["looks"]);
    format!("forecast for {looks} looks: {}", trends.join(", "))
}

/// What became of switches, the newest last.
pub(super) fn history(value: &Value) -> String {
    let rows: Vec<_> = list(value)
        .map(|switch| {
            vec![
                word(&switch["epoch"]),
                format!("{} s ago", word(&switch["ago"]["secs"])),
                word(&switch["from"]),
                word(&switch["to"]),
                variant(&switch["by"]),
                variant(&switch["end"]),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "the overlay was not switched while this node was there\n".to_owned();
    }
    let columns = [
        Column::Number("epoch"),
        Column::Word("announced"),
        Column::Word("from"),
        Column::Word("to"),
        Column::Word("ordered by"),
        Column::Word("end"),
    ];
    let mut text = table(&columns, &rows);
    for switch in list(value).filter(|switch| switch["trial"].is_object()) {
        let trial = &switch["trial"];
        let end = if trial["adopted"] == true {
            "adopted"
        } else {
            "given up"
        };
        let (epoch, nodes) = (word(&switch["epoch"]), word(&trial["nodes"]));
        text.push_str(&format!(
            "epoch {epoch} was tried on {nodes} nodes, and {end}:\n"
        ));
        text.extend(list(&trial["reasons"]).map(|reason| format!("  {}\n", word(reason))));
    }
    text
}

/// Rules and their values.
pub(super) fn rules(value: &Value) -> String {
    let rules = value.as_object().into_iter().flatten();
    rules
        .map(|(name, value)| format!("{name} = {}\n", word(value)))
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A value in a word, whatever it is.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => Printable(text).to_string(),
        Value::Null => "-".to_owned(),
        other => Printable(&other.to_string()).to_string(),
    }
}

/// A choice, and what belongs to it.
fn variant(value: &Value) -> String {
    match value {
        Value::Object(choices) => {
            let choices = choices.iter();
            let told = choices.map(|(name, more)| {
                let more = more.as_object().into_iter().flatten();
                let more: Vec<_> = more.map(|(_, said)| word(said)).collect();
                format!("{name}: {}", more.join(", "))
            });
            told.collect::<Vec<_>>().join(", ")
        }
        other => word(other),
    }
}

/// Why no rule is followed.
fn reason(blocked: &Value) -> String {
    let why = word(&blocked["why"]);
    let more = blocked.as_object().into_iter().flatten();
    let more = more.filter(|(name, said)| *name != "why" && !said.is_null());
    let more: Vec<_> = more
        .map(|(name, said)| match said.get("secs") {
            Some(seconds) => format!("{name} {} s", word(seconds)),
            None => format!("{name} {}", word(said)),
        })
        .collect();
    if more.is_empty() {
        return why;
    }
    format!("{why} ({})", more.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_analysis_says_what_holds_and_what_stands_in_the_way() {
        let said = analysis(&json!({
            "overlay": "full_mesh",
            "workload": null,
            "looks_needed": 3,
            "rules": [{"rule": "hyparview_above", "to": "hyparview", "holds": false, "looks": 0,
                "why_not": "members is 3, not above 20"}],
            "blocked": [{"why": "manual"}, {"why": "cooldown_active", "left": {"secs": 20, "nanos": 1}}],
            "measurements": {"members": 3, "peers": [], "hops_p99": null},
            "forecast": {"looks": 5, "window_looks": 10, "trends": [
                {"what": "members", "now": 3, "ahead": 9, "is_steady": true, "why_not": ""},
                {"what": "cpu_percent", "now": 7, "ahead": 8, "is_steady": false, "why_not": "a line explains 9 % of it, not 90 %"},
            ]},
        }));
        for part in [
            "overlay full_mesh; a rule has to hold for 3 looks",
            "members is 3, not above 20",
            "none is followed: manual, cooldown_active (left 20 s)",
            "measured: members 3\n",
            "forecast for 5 looks: members 3 to 9, cpu_percent 7 to 8 (no trend: a line explains 9 % of it, not 90 %)\n",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_history_says_who_ordered_what() {
        let said = history(&json!([
            {"epoch": 1, "ago": {"secs": 9, "nanos": 0}, "from": "full_mesh", "to": "hyparview",
             "by": {"rule": {"rule": "hyparview_above", "reasons": ["members 21"]}}, "end": "committed"},
            {"epoch": 2, "ago": {"secs": 1, "nanos": 0}, "from": "hyparview", "to": "full_mesh",
             "by": "hand", "end": {"rolled_back": {"why": "deadline"}}},
        ]));
        for part in [
            "9 s ago",
            "hyparview_above",
            "hand",
            "rolled_back: deadline",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(history(&json!([])).contains("not switched"));
        let rules = rules(&json!({"hold_looks": "3", "mode": "auto\u{1b}"}));
        assert!(rules.starts_with("hold_looks = 3\n") && !rules.contains('\u{1b}'));
    }
}
