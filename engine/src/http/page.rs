//! The page for people: one file, `page.html`, that asks this node alone.
//!
//! It has nothing of the node in it, so it is shown without the token, and asks whoever looks for that. No script and no style
//! runs but its own, which the policy tells by a number made anew for each answer.

use super::response::Response;

const PAGE: &str = include_str!("page.html");

/// Where that number belongs.
const NONCE: &str = "{{nonce}}";

/// The page.
pub(super) fn page() -> Response {
    let nonce = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let body = PAGE.replace(NONCE, &nonce);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    Response::new(200, "text/html; charset=utf-8", body).with_policy(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_nothing_but_its_own_and_asks_nobody_else() {
        let text = |response: Response| String::from_utf8(response.bytes(false)).expect("text");
        let (one, other) = (text(page()), text(page()));
        assert_ne!(one, other, "each answer has a number of its own");
        assert!(!one.contains(NONCE), "{one}");
        let (_, nonce) = one.split_once("script-src 'nonce-").expect("a policy");
        let nonce = &nonce[..32];
        for tag in ["<script", "<style"] {
            let tags = one.matches(tag).count();
            assert_eq!(
                one.matches(&format!("{tag} nonce=\"{nonce}\"")).count(),
                tags
            );
        }
        for elsewhere in [
            "http:", "https:", "//cdn", " src=", "@import", "style=\"", "onclick=",
        ] {
            assert!(!PAGE.contains(elsewhere), "{elsewhere}");
        }
    }
}
