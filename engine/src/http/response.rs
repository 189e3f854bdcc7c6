//! An answer as bytes: status, the headers that protect whoever reads it, body. No I/O.

/// How long a page is trusted with nothing but itself: no other script, no frame around it, no form.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    content_type: &'static str,
    policy: String,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type,
            policy: NOTHING.to_owned(),
            body: body.into(),
        }
    }

    /// A line of text.
    pub(super) fn text(status: u16, text: impl Into<String>) -> Self {
        let body = text.into() + "\n";
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// JSON, a line.
    pub(super) fn json(status: u16, value: &impl serde::Serialize) -> Self {
        let body = serde_json::to_string(value).unwrap_or_default() + "\n";
        Self::new(status, "application/json", body)
    }

    /// What the page may load and run.
    pub(super) fn with_policy(self, policy: String) -> Self {
        Self { policy, ..self }
    }

    /// As it goes over the connection, which ends behind it.
    pub(super) fn bytes(&self, without_body: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nContent-Security-Policy: {}\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\nConnection: close\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len(),
            self.policy,
        );
        match self.status {
            401 => head += "WWW-Authenticate: Bearer\r\n",
            405 => head += "Allow: GET, HEAD\r\n",
            _ => {}
        }
        let mut bytes = (head + "\r\n").into_bytes();
        if !without_body {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
