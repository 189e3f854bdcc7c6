//! The `msghdr` of a scattered send or receive: the kernel reads it until the operation completes, so it
//! lies in a box of whoever owns the memory that it names.

/// See the module's text.
pub(crate) struct MessageHeader(pub(crate) libc::msghdr);

impl Default for MessageHeader {
    fn default() -> Self {
        Self(libc::msghdr {
            msg_name: std::ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: std::ptr::null_mut(),
            msg_iovlen: 0,
            msg_control: std::ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        })
    }
}

impl std::fmt::Debug for MessageHeader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MessageHeader")
    }
}
