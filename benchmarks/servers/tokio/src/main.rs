//! The echo of Tokio's own documentation: a task for each connection, with a buffer of 1 KiB.
//!
//!     echo_tokio --port 0 --ready-file FILE

use std::{env, fs, io};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 1024];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn listen(file: String) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let partial = format!("{file}.part");
    fs::write(&partial, format!("tcp {}\n", listener.local_addr()?))?;
    fs::rename(&partial, &file)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream));
    }
}

/// The expansion of `#[tokio::main]`: the runtime of many threads, one for each core that it is pinned to.
fn main() -> io::Result<()> {
    let file = env::args().nth(4).expect("usage: echo_tokio --port 0 --ready-file FILE");
    Runtime::new()?.block_on(listen(file))
}
