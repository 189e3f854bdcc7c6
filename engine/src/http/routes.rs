//! Which path shows what, and who may see it. No I/O.
//!
//! Called by the server with each request that came whole.

use std::net::IpAddr;

use super::request::Head;
use super::response::Response;
use super::{Exhibit, Token, api, exposition, page, plain};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers a request. With a token, whoever has it may see everything; without one whoever can reach the address,
/// which is this host's alone then.
pub(super) fn answer(head: &Head, exhibit: &dyn Exhibit, token: Option<&Token>) -> Response {
    if token.is_none() && !head.host.as_deref().is_none_or(is_this_host) {
        // A page from elsewhere, whose name was made to lead here, could read what it gets.
        let text = "ask for this host by 127.0.0.1, [::1] or localhost: it answers to no other name without http_token_file";
        return Response::text(403, text);
    }
    match head.path.as_str() {
        "/" => return page::page(),
        "/healthz" => return told(exhibit.health()),
        "/readyz" => return told(exhibit.readiness()),
        _ => {}
    }
    let may_see = token.is_none_or(|token| head.token.as_deref().is_some_and(|it| token.is(it)));
    if !may_see {
        return Response::text(
            401,
            "say `Authorization: Bearer TOKEN`, with what is in http_token_file of this node",
        );
    }
    match head.path.as_str() {
        "/metrics" => metrics(head, exhibit),
        path => match path.strip_prefix("/api/") {
            Some(what) => api::answer(what, head, exhibit),
            None => Response::text(
                404,
                format!(
                    "there is /, /metrics, /healthz, /readyz and {}",
                    api::paths()
                ),
            ),
        },
    }
}

fn told(state: Result<(), String>) -> Response {
    match state {
        Ok(()) => Response::text(200, "ok"),
        Err(why) => Response::text(503, why),
    }
}

fn metrics(head: &Head, exhibit: &dyn Exhibit) -> Response {
    let chosen = |name: &str| match head.parameter(name) {
        None | Some("0") => Some(false),
        Some("1") => Some(true),
        Some(_) => None,
    };
    let (Some(by_peer), Some(totals)) = (chosen("peers"), chosen("cluster")) else {
        let text = "peers=1 gives the counters of each peer, cluster=1 those of all members added up; 0 does not";
        return Response::text(400, text);
    };
    let text = exposition::openmetrics(exhibit.scrape(totals), by_peer);
    if head.takes_openmetrics {
        Response::new(200, OPENMETRICS, text)
    } else {
        Response::new(200, PLAIN, plain::of(&text))
    }
}

/// Whether that is a name or an address that nobody else can be found by.
fn is_this_host(host: &str) -> bool {
    let is_loopback = |name: &str| name.parse().is_ok_and(|it: IpAddr| it.is_loopback());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    // An address of version 6 without brackets has no port.
    name.eq_ignore_ascii_case("localhost") || is_loopback(name) || is_loopback(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Answer, Refusal, RefusalKind, Request};
    use crate::http::{Scrape, Topology};

    struct Sick;

    impl Exhibit for Sick {
        fn scrape(&self, _totals: bool) -> Scrape {
            Scrape::default()
        }

        fn answer(&self, request: Request) -> Result<Answer, Refusal> {
            match request {
                Request::Rules {} => Ok(Answer::Rules(Vec::new())),
                _ => Err(Refusal::new(RefusalKind::Stopping, "the node is stopping")),
            }
        }

        fn topology(&self) -> Result<Topology, Refusal> {
            Err(Refusal::new(RefusalKind::Invalid, "in no cluster"))
        }

        fn health(&self) -> Result<(), String> {
            Err("shard 1 does not answer".to_owned())
        }

        fn readiness(&self) -> Result<(), String> {
            Ok(())
        }
    }

    fn head(path: &str, host: Option<&str>, token: Option<&str>) -> Head {
        let mut target = path.splitn(2, '?');
        let mut pairs = Vec::new();
        let path = target.next().unwrap_or_default().to_owned();
        for pair in target.next().unwrap_or_default().split('&') {
            if let Some((name, value)) = pair.split_once('=') {
                pairs.push((name.to_owned(), value.to_owned()));
            }
        }
        Head {
            path,
            parameters: pairs,
            host: host.map(str::to_owned),
            token: token.map(str::to_owned),
            ..Head::default()
        }
    }

    fn status(path: &str) -> u16 {
        answer(&head(path, None, None), &Sick, None).status
    }

    #[test]
    fn each_path_shows_its_own_and_others_say_what_there_is() {
        for (path, expected) in [
            ("/healthz", 503),
            ("/readyz", 200),
            ("/metrics", 200),
            ("/metrics?peers=1", 200),
            ("/metrics?peers=yes", 400),
            ("/metrics?cluster=1", 200),
            ("/metrics?cluster=2", 400),
            ("/", 200),
            ("/api/rules", 200),
            ("/api/topology", 400),
            ("/api/rules?peer=b", 400),
            ("/api/metrics?peer=b&what=x", 400),
            ("/api/status", 503),
            ("/api/leave", 404),
            ("/other", 404),
        ] {
            assert_eq!(status(path), expected, "{path}");
        }
    }

    #[test]
    fn with_a_token_nothing_but_health_is_seen_without_it() {
        let token = Token::of("0123456789abcdef");
        let asked = |path, given| {
            answer(
                &head(path, Some("node.example"), given),
                &Sick,
                Some(&token),
            )
            .status
        };
        for path in ["/metrics", "/api/rules", "/other"] {
            assert_eq!(asked(path, None), 401, "{path}");
            assert_eq!(asked(path, Some("0123456789abcdeg")), 401, "{path}");
            assert_ne!(asked(path, Some("0123456789abcdef")), 401, "{path}");
        }
        assert_eq!(asked("/readyz", None), 200);
    }

    #[test]
    fn without_a_token_it_answers_to_the_names_of_this_host_alone() {
        for (host, is_taken) in [
            ("127.0.0.1:7480", true),
            ("[::1]:7480", true),
            ("::1", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("rebound.example:7480", false),
            ("10.0.0.1:7480", false),
            ("127.0.0.1.example", false),
            ("", false),
        ] {
            let status = answer(&head("/readyz", Some(host), None), &Sick, None).status;
            assert_eq!(status == 200, is_taken, "{host}");
        }
    }
}
