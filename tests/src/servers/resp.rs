//! The few words of RESP2 that a test needs to talk with a Redis server: a command out, one reply in.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// The longest wait for a byte. Generous: it only turns a hang into an error.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest bulk string, 64 MiB, and the longest array that is read.
const MAX_LENGTH: usize = 64 << 20;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects to a port of this machine.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command. `Ok(Err(words))` is the server's refusal; an array's items stand on lines.
    pub(crate) fn ask(&mut self, command: &[&str]) -> io::Result<Result<String, String>> {
        self.0.get_mut().write_all(request(command).as_bytes())?;
        self.reply()
    }

    /// Sends commands in one write; the first refusal, if there is one.
    pub(crate) fn ask_all(&mut self, commands: &[[&str; 4]]) -> io::Result<Result<(), String>> {
        let requests: String = commands.iter().map(|command| request(command)).collect();
        self.0.get_mut().write_all(requests.as_bytes())?;
        let replies = commands.iter().map(|_| self.reply()).collect::<io::Result<Vec<_>>>()?;
        Ok(replies.into_iter().collect::<Result<Vec<_>, _>>().map(drop))
    }

    fn reply(&mut self) -> io::Result<Result<String, String>> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let line = line.trim_end();
        let Some((kind, rest)) = line.split_at_checked(1) else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        };
        match kind {
            "+" | ":" => Ok(Ok(rest.to_owned())),
            "-" => Ok(Err(rest.to_owned())),
            "$" | "*" if rest == "-1" => Ok(Ok(String::new())),
            "$" => {
                let mut bytes = vec![0; length(rest)? + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Ok(Ok(String::from_utf8_lossy(&bytes).into_owned()))
            }
            "*" => {
                let items = (0..length(rest)?).map(|_| self.reply()).collect::<io::Result<Vec<_>>>()?;
                Ok(items.into_iter().collect::<Result<Vec<_>, _>>().map(|items| items.join("\n")))
            }
            other => Err(io::Error::other(format!("a reply that begins with {other:?}"))),
        }
    }
}

fn request(command: &[&str]) -> String {
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    request
}

fn length(text: &str) -> io::Result<usize> {
    let length = text.parse().map_err(io::Error::other)?;
    if length <= MAX_LENGTH { Ok(length) } else { Err(io::Error::other(format!("a reply of {length} bytes"))) }
}
