//! The ends of streams as tokio's readers and writers (feature `tokio`): what they are for `futures-io`, in its words.
//!
//! They need no runtime of tokio's. Nothing is decided here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{StreamReader, StreamWriter, as_io};

/// With the feature `tokio`.
impl AsyncRead for StreamReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        let read = as_io(self.get_mut().poll_read_copy(context.waker(), room));
        buffer.advance(ready!(read)?);
        Poll::Ready(Ok(()))
    }
}

/// With the feature `tokio`. `shutdown` waits as [`finish`](StreamWriter::finish) does.
impl AsyncWrite for StreamWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        as_io(self.get_mut().poll_write_copy(context.waker(), bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        as_io(self.get_mut().poll_flush_chunk(context.waker()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        as_io(self.get_mut().poll_finish(context.waker()))
    }
}
