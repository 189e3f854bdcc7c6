//! `rancher` against a stand-in for Rancher's metadata service, by its documentation.

use overlane_discovery::rancher::Rancher;
use overlane_discovery::{Stop, Strategy};

use crate::stand_in::web::WebServer;
use crate::texts;

#[test]
fn containers_of_the_service_are_found() {
    let server = WebServer::start(|asked, answering| {
        assert_eq!(asked.path, "/latest/self/service");
        assert_eq!(asked.header("accept"), Some("application/json"));
        answering.whole(
            200,
            r#"{"name":"web","containers":[{"name":"web-1","ips":["10.42.0.1","10.43.0.1"]},{"ips":["10.42.0.2"]},{"ips":[]}]}"#,
        );
    });
    let found = Rancher::new(server.url(), 7400).look(&Stop::default());
    assert_eq!(
        texts(&found.expect("it answers")),
        ["10.42.0.1:7400", "10.42.0.2:7400"]
    );
}

#[test]
fn what_is_no_answer_is_a_failure_that_says_so() {
    let huge = "x".repeat(5 << 20);
    for (status, body, says) in [
        (404, "not found".to_owned(), "answered 404: not found"),
        (302, String::new(), "answered 302"),
        (200, "\"a text\"".to_owned(), "not as expected"),
        (200, huge, "more than 4194304 bytes"),
    ] {
        let server = WebServer::start(move |_, answering| answering.whole(status, &body));
        let error = Rancher::new(server.url(), 7400).look(&Stop::default());
        let error = error.expect_err(says).to_string();
        assert!(
            error.contains(says) && error.contains(&server.url()),
            "{error}"
        );
    }
    let error = Rancher::new("http://127.0.0.1:1".into(), 7400).look(&Stop::default());
    assert!(
        error
            .expect_err("nobody is there")
            .to_string()
            .contains("cannot be asked")
    );
}
