//! The page around the pictures of a report.
//!
//! Everything that did not come from this file is escaped: names and commands are the user's.

use std::fmt::Write;

use super::{Held, Report, Verdict, plots};
use crate::accounts::Flow;
use crate::table;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let mut page = String::with_capacity(256 * 1024);
    let verdict = if report.passed() {
        ("passed", "passed")
    } else {
        ("failed", "FAILED")
    };
    push(
        &mut page,
        format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Overlane main job: {0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header><h1>Overlane main job</h1><span class=\"verdict {1}\">{0}</span></header>\n\
             <p class=\"lead\">Three nodes in three processes: a file on <b>data</b>, heartbeats on \
             <b>coordination</b>, rumours on <b>gossip</b>.</p>\n",
            verdict.1, verdict.0
        ),
    );
    headlines(&mut page, report);
    let pictures = [
        (
            "Heartbeat latency over time",
            "One way, from the time a heartbeat was due to its arrival; all nodes, steps of a tenth of a \
             second.",
            plots::latency_over_time(report),
        ),
        (
            "File throughput over time",
            "As the receiver wrote it to its disk.",
            plots::throughput_over_time(report),
        ),
        (
            "Heartbeat latency by percentile",
            &percentiles_caption(report),
            plots::latency_percentiles(report),
        ),
    ];
    page.push_str("<section class=\"figures\">\n");
    for (title, about, picture) in pictures {
        figure(&mut page, title, about, &picture);
    }
    page.push_str("</section>\n");
    checks(&mut page, report);
    flows(&mut page, &report.flows);
    facts(&mut page, report);
    page.push_str("</body>\n</html>\n");
    page
}

/// What the picture shows, and the judgement that the check goes by: never another one.
fn percentiles_caption(report: &Report) -> String {
    let cost = &report.heartbeat_cost;
    let (class, verdict) = match cost.verdict() {
        Verdict::Held => ("held", "Held"),
        Verdict::Missed => ("missed", "Missed"),
        Verdict::NotJudged => ("open", "Open"),
    };
    format!(
        "What the file costs the heartbeats. {}: <span class=\"{class}\">{verdict}, {}</span>.",
        cost.what(),
        cost.sentence()
    )
}

fn figure(page: &mut String, title: &str, about: &str, picture: &plots::Picture) {
    push(
        page,
        format_args!(
            "<figure><h2>{title}</h2><figcaption>{about}</figcaption>\n<p class=\"legend\">"
        ),
    );
    for (name, colour) in &picture.legend {
        push(
            page,
            format_args!("<span><i style=\"background: {colour}\"></i>{name}</span>"),
        );
    }
    push(page, format_args!("</p>\n{}\n</figure>\n", picture.svg));
}

fn headlines(page: &mut String, report: &Report) {
    page.push_str("<section class=\"headlines\">\n");
    for headline in &report.headlines {
        push(
            page,
            format_args!(
                "<div><span>{}</span><strong>{}</strong><small>{}</small></div>\n",
                headline.name,
                escaped(&headline.value),
                escaped(&headline.beside)
            ),
        );
    }
    page.push_str("</section>\n");
}

fn checks(page: &mut String, report: &Report) {
    page.push_str("<h2>What had to hold</h2>\n<ul class=\"checks\">\n");
    for check in &report.checks {
        let (class, fault) = match &check.held {
            Held::Yes => ("held", String::new()),
            Held::No(why) => ("broken", format!(": {}", escaped(why))),
            Held::NotJudged(why) => ("open", format!(": {}", escaped(why))),
        };
        push(
            page,
            format_args!(
                "<li class=\"{class}\">{}{fault}</li>\n",
                escaped(&check.what)
            ),
        );
    }
    page.push_str("</ul>\n");
}

fn flows(page: &mut String, flows: &[Flow]) {
    page.push_str(
        "<h2>Every channel in every direction</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>channel</th>\
         <th>way</th><th>accepted</th><th>acknowledged</th><th>reported</th><th>sent</th>\
         <th>dropped</th><th>delivered</th><th>MiB</th></tr></thead>\n<tbody>\n",
    );
    for flow in flows {
        let account = &flow.account;
        push(
            page,
            format_args!(
                "<tr{}><td>{}</td><td>{} → {}</td>",
                if flow.fault.is_some() {
                    " class=\"broken\""
                } else {
                    ""
                },
                escaped(&account.channel),
                escaped(&flow.from),
                escaped(&account.peer)
            ),
        );
        let acknowledged = |count| {
            if account.reliable {
                table::count(count)
            } else {
                "–".into()
            }
        };
        let numbers = [
            table::count(account.accepted),
            acknowledged(account.acknowledged),
            acknowledged(account.reported),
            table::count(account.sent),
            table::count(account.dropped),
            table::count(flow.delivered),
            table::number(crate::sample::figure(account.sent_bytes) / 1_048_576.0),
        ];
        for number in numbers {
            push(page, format_args!("<td>{number}</td>"));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn facts(page: &mut String, report: &Report) {
    page.push_str("<h2>How this was obtained</h2>\n<dl>\n");
    for (name, value) in &report.facts {
        push(
            page,
            format_args!("<dt>{name}</dt><dd>{}</dd>\n", escaped(value)),
        );
    }
    page.push_str("</dl>\n");
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a string takes everything");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::{Check, HeartbeatCost, tests::example};
    use super::*;
    use crate::latencies::Latencies;

    #[test]
    fn the_page_has_its_figures_pictures_checks_and_accounts() {
        let page = page(&example());
        assert_eq!(page.matches("<svg").count(), 3);
        for word in [
            "421 MiB/s",
            "class=\"verdict passed\"",
            "4 098",
            "&lt;main job&gt;",
        ] {
            assert!(page.contains(word), "{word}");
        }
        assert!(!page.contains("<main job>"));
    }

    #[test]
    fn the_caption_of_the_heartbeats_says_what_the_check_says() {
        let mut report = example();
        for (bound_us, class, said) in [(u32::MAX, "held", "Held"), (0, "missed", "Missed")] {
            report.heartbeat_cost =
                HeartbeatCost::of(&report.before, &report.beside, &report.plain, bound_us);
            let page = page(&report);
            let verdict = format!("<span class=\"{class}\">{said}, ");
            assert!(page.contains(&verdict), "{verdict}");
        }
        let few = Latencies::default();
        report.heartbeat_cost = HeartbeatCost::of(&report.before, &few, &report.plain, 400);
        assert!(page(&report).contains("class=\"open\">Open, not judged"));
    }

    #[test]
    fn a_broken_check_is_seen_at_the_top_and_at_its_place() {
        let mut report = example();
        let (what, fault) = ("the file's hash".to_owned(), Some("it differs".to_owned()));
        report.checks.push(Check::of(what, fault));
        let page = page(&report);
        assert!(page.contains("verdict failed"));
        assert!(page.contains("<li class=\"broken\">the file's hash: it differs</li>"));
    }

    /// As on a telephone: a picture is drawn as wide as there is room, and its text with it.
    #[test]
    fn a_screen_of_420_pixels_is_wide_enough_to_read_it() {
        const SCREEN: f64 = 420.0;
        // The edges of the page and of a figure, by the style for narrow screens.
        const EDGES: f64 = 2.0 * (10.0 + 6.0 + 1.0);
        const TEXT_MIN: f64 = 9.5;
        let page = page(&example());
        for word in [
            "content=\"width=device-width, initial-scale=1\"",
            "body { margin: 16px auto; padding: 0 10px; }",
            "figure { padding: 2px 6px 8px; }",
            "figure svg { display: block; width: 100%; height: auto; }",
        ] {
            assert!(page.contains(word), "{word}");
        }
        let number = |text: &str, before: &str| -> Option<f64> {
            let (_, after) = text.split_once(before)?;
            after.split(['"', ' ']).next()?.parse().ok()
        };
        for svg in page.split("<svg").skip(1) {
            let width = number(svg, "viewBox=\"0 0 ").expect("it can be scaled");
            let texts: Vec<f64> = svg
                .split("<text")
                .skip(1)
                .filter_map(|text| number(text, "font-size=\""))
                .collect();
            assert!(texts.len() >= 6, "axes have their names and numbers: {svg}");
            let least = texts.iter().copied().fold(f64::INFINITY, f64::min);
            let shown = least * (SCREEN - EDGES) / width;
            assert!(shown >= TEXT_MIN, "text is {shown:.1} pixels high");
        }
    }
}
