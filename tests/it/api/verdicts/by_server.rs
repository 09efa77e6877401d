//! Ends by the server: through the API, and in a drain.

use std::time::Duration;

use tokio::time::sleep;

use super::*;

#[tokio::test]
async fn the_api_closes_the_connection() {
    let delete = || Act::Delete("code=4001&reason=bye");
    let server = serve(config()).await;
    expect_all(
        &server,
        [
            case(
                "answered",
                [
                    delete(),
                    Act::ReadClose,
                    close(4001),
                    Act::ReadEnd,
                    Act::Fin,
                ],
                json!(["api", 4001, true, "fin", null, "server"]),
            ),
            case(
                "answered-with-another-code",
                [
                    delete(),
                    Act::ReadClose,
                    close(4999),
                    Act::ReadEnd,
                    Act::Fin,
                ],
                json!(["api", 4001, true, "fin", null, "server"]),
            ),
            case(
                "answered-and-open",
                [delete(), Act::ReadClose, close(4001)],
                json!(["api", 4001, true, "timeout", null, "server"]),
            ),
            case(
                "answered-by-fin",
                [delete(), Act::ReadClose, Act::Fin],
                json!(["api", 4001, false, "fin", null, "server"]),
            ),
            case(
                "answered-by-reset",
                [delete(), Act::ReadClose, Act::Rst],
                json!(["api", 4001, false, "rst", "peer", "server"]),
            ),
            case(
                "answered-and-reset",
                [
                    delete(),
                    Act::ReadClose,
                    close(4001),
                    Act::ReadEnd,
                    Act::Rst,
                ],
                json!(["api", 4001, true, "rst", "peer", "server"]),
            ),
            case(
                "cut",
                [Act::Delete("how=fin"), Act::ReadEnd, Act::Fin],
                json!(["api", 1006, false, "fin", null, null]),
            ),
            case(
                "cut-and-open",
                [Act::Delete("how=fin"), Act::ReadEnd],
                json!(["api", 1006, false, "timeout", null, null]),
            ),
            case(
                "cut-and-reset",
                [Act::Delete("how=fin"), Act::ReadEnd, Act::Rst],
                json!(["api", 1006, false, "rst", "peer", null]),
            ),
            case(
                "reset",
                [Act::Delete("how=rst"), Act::ReadEnd],
                json!(["api", 1006, false, "rst", "server", null]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn two_closes_that_cross_are_both_shown() {
    let server = serve(config()).await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=me")).await;
    raw.head().await;
    // Both are on their way before either side has read the other's.
    let request = "DELETE /connections/me?code=4001&reason=mine";
    assert_eq!(ask(server.address, request).await.0, 204);
    raw.send(close_frame(3000, b"yours")).await;
    raw.rest().await;
    let found = verdict(server.address, "me").await;
    assert_eq!(
        found["close"],
        json!({
            "first": "server",
            "received": { "code": 3000, "reason": "yours" },
            "sent": { "code": 4001, "reason": "mine" },
        })
    );
    let expected = json!(["api", 4001, true, "fin", null, "server"]);
    assert_eq!(short(&found), expected, "{found:#}");
}

#[tokio::test]
async fn a_close_that_the_peer_does_not_answer_is_a_timeout() {
    let server = serve(ServerConfig {
        close_timeout: SHORT,
        ..config()
    })
    .await;
    let silent = case(
        "silent",
        [Act::Delete("code=4001")],
        json!(["api", 4001, false, "timeout", null, "server"]),
    );
    expect_all(&server, [silent]).await;
}

#[tokio::test]
async fn a_drain_closes_with_1001() {
    let server = serve(config()).await;
    let mut raws = Vec::new();
    // The second keeps the server there, because it does not answer.
    for id in ["answers", "stays"] {
        let mut raw = server.raw().await;
        raw.send(upgrade_request(&format!("/?id={id}"))).await;
        raw.head().await;
        raws.push(raw);
    }
    let address = server.address;
    let running = server.stop();
    let mut answers = raws.remove(0);
    read_close(&mut answers).await;
    answers.send(close_frame(1001, b"")).await;
    answers.rest().await;
    let found = soon(async {
        loop {
            // Nothing is waited for in a drain, so it is asked for.
            let (_, found) = ask(address, "GET /connections/answers").await;
            if found["state"] == "closed" {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let expected = json!(["drained", 1001, true, "fin", null, "server"]);
    assert_eq!(short(&found), expected, "{found:#}");
    drop(raws);
    soon(running).await.expect("it ends");
}
