//! Servers that answer with bytes made to harm. No answer may take our memory, our stack or our time.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that says `answer` to whatever it is asked, again and again if it goes on for ever.
async fn answering(answer: Vec<u8>, for_ever: bool) -> RelayUrl {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut asked = vec![0; 64 << 10];
                while let Ok(1..) = stream.read(&mut asked).await {
                    while stream.write_all(&answer).await.is_ok() && for_ever {}
                }
            });
        }
    });
    RelayUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap()
}

#[tokio::test]
async fn answers_made_to_harm_are_errors_and_no_more() {
    let nested = |depth| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
    for (name, answer) in [
        ("nothing", Vec::new()),
        ("a huge array", b"*2147483647\r\n".to_vec()),
        ("a huge map", b"%2147483647\r\n".to_vec()),
        ("a huge push", b">2147483647\r\n".to_vec()),
        ("a huge string", b"$9223372036854775807\r\n".to_vec()),
        ("a negative length", b"$-7\r\n*-9\r\n".to_vec()),
        ("a deep array", nested(100_000)),
        ("garbage", (0..=255).cycle().take(10_000).collect()),
        ("numbers", b":9999999999999999999999\r\n,nan\r\n#x\r\n(12\r\n".to_vec()),
        ("wrong kinds", b"+OK\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n".to_vec()),
    ] {
        let limits = Limits { response: Duration::from_millis(500), ..Limits::default() };
        let refused = RedisRelay::prepare_with(&answering(answer, false).await, limits).await;
        assert!(refused.is_err(), "{name}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    for (name, piece) in [
        ("a line", vec![b'+'; 1 << 20]),
        ("a string", [&b"$9000000000\r\n"[..], &vec![b'x'; 1 << 20]].concat()),
        ("an array", [&b"*2000000000\r\n"[..], &b":1\r\n".repeat(1 << 18)].concat()),
    ] {
        // Far longer than it takes for the bound to be reached.
        let limits = Limits { response: Duration::from_secs(60), ..Limits::default() };
        let refused = RedisRelay::prepare_with(&answering(piece, true).await, limits).await;
        assert!(refused.is_err(), "{name}");
    }
}
