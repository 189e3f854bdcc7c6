//! OpenMetrics to the older text format of Prometheus, which scrapers take that do not ask for OpenMetrics, and
//! `promtool check metrics`.
//!
//! The formats have the same samples and differ in their comments: there a counter is named with its `_total`, an info is a gauge,
//! and units and the end are not said.

/// The same metrics in the older format.
pub(super) fn of(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(help) = line.strip_prefix("# HELP ") else {
            if !line.starts_with("# UNIT ") && line != "# EOF" {
                text += line;
                text.push('\n');
            }
            continue;
        };
        let (name, help) = help.split_once(' ').unwrap_or((help, ""));
        let kind = lines
            .next_if(|line| line.starts_with("# TYPE "))
            .unwrap_or_default();
        let (suffix, kind) = match kind.rsplit_once(' ').map_or("untyped", |(_, kind)| kind) {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            kind => ("", kind),
        };
        text += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn comments_differ_and_samples_do_not() {
        let openmetrics = "# HELP a_bytes Bytes.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total{x=\"# HELP\"} 1\n\
                           # HELP b It.\n# TYPE b info\nb_info{v=\"1\"} 1\n# HELP c Now.\n# TYPE c gauge\nc 2\n# EOF\n";
        let plain = "# HELP a_bytes_total Bytes.\n# TYPE a_bytes_total counter\na_bytes_total{x=\"# HELP\"} 1\n\
                     # HELP b_info It.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP c Now.\n# TYPE c gauge\nc 2\n";
        assert_eq!(super::of(openmetrics), plain);
    }
}
