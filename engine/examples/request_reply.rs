//! Requests and replies: a server that squares numbers, and a client that asks it.
//!
//! A request is a message that asks for one reply. The server answers in its handler, on the shard,
//! without waking a thread; the client waits for each reply until a deadline.
//!
//! `cargo run --example request_reply`

use std::error::Error;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use overlane::{ChannelConfig, Config, Node, RequestError};

const PATIENCE: Duration = Duration::from_secs(10);

fn start(name: &str) -> Result<Node, Box<dyn Error>> {
    let config = Config::builder()
        .name(name)
        .cluster("calls")
        .listen("127.0.0.1:0".parse()?)
        .shards(1)
        .pin(false)
        .channel(ChannelConfig::new("calls"))
        .build()?;
    Ok(Node::start(config)?)
}

/// Squares what comes, and answers whoever asked.
fn serve(server: &Node) -> Result<(), Box<dyn Error>> {
    let calls = server.channel("calls")?;
    server.handle("square", move |context, request| {
        let value = request.payload().first_chunk::<8>();
        // What is no request, or no number, is not answered: whoever asked waits until the deadline.
        if let (Some(asker), Some(value)) = (request.reply_handle(), value) {
            let value = u64::from_le_bytes(*value);
            let square = value.wrapping_mul(value).to_le_bytes();
            // Full or gone: the client's deadline ends it.
            drop(context.try_reply(&calls, &asker, &square));
        }
    })?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (client, server) = (start("client")?, start("server")?);
    serve(&server)?;
    client.connect("server", server.local_addr())?;
    client.wait_connected("server", PATIENCE)?;

    let calls = client.channel("calls")?;
    let square = client.destination("server", "square")?;
    // A thread may block, a task of any runtime may await.
    let reply = calls.request_blocking(&square, &1_u64.to_le_bytes(), PATIENCE)?;
    println!("1 squared is {}", reply.payload()[0]);
    block_on(async {
        for value in 2..=10_u64 {
            let reply = calls
                .request(&square, &value.to_le_bytes(), PATIENCE)
                .await?;
            println!("{value} squared is {}", reply.payload()[0]);
        }
        let nowhere = client.destination("server", "cube")?;
        match calls.request(&nowhere, "2", PATIENCE).await {
            Err(RequestError::Refused { why }) => println!("nobody cubes: {why}"),
            outcome => println!("that is new: {outcome:?}"),
        }
        Ok::<(), Box<dyn Error>>(())
    })?;
    thread::scope(|scope| {
        scope.spawn(|| client.stop(PATIENCE));
        scope.spawn(|| server.stop(PATIENCE));
    });
    Ok(())
}
