//! The page around the pictures of a report.
//!
//! Everything that did not come from this file is escaped: names and commands are the user's.

use std::fmt::Write;

use super::{Report, plots};
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
            "One way, from the time a heartbeat was due to its arrival; all nodes, steps of a quarter \
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
            "How much the file costs the heartbeats: the two lines should be close.",
            plots::latency_percentiles(report),
        ),
    ];
    for (title, about, picture) in pictures {
        figure(&mut page, title, about, &picture);
    }
    checks(&mut page, report);
    flows(&mut page, &report.flows);
    facts(&mut page, report);
    page.push_str("</body>\n</html>\n");
    page
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
        let (class, fault) = match &check.fault {
            None => ("held", String::new()),
            Some(fault) => ("broken", format!(": {}", escaped(fault))),
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
        "<h2>Every channel in every direction</h2>\n<table>\n<thead><tr><th>channel</th>\
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
    page.push_str("</tbody>\n</table>\n");
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
    use super::super::{Check, tests::example};
    use super::*;

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
    fn a_broken_check_is_seen_at_the_top_and_at_its_place() {
        let mut report = example();
        let (what, fault) = ("the file's hash".to_owned(), Some("it differs".to_owned()));
        report.checks.push(Check { what, fault });
        let page = page(&report);
        assert!(page.contains("verdict failed"));
        assert!(page.contains("<li class=\"broken\">the file's hash: it differs</li>"));
    }
}
