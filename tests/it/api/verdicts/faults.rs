//! Ends by a fault that the URL asks for, and ends of sessions that misbehave.

use echobeat_frames::{BINARY, frame};

use super::*;

#[tokio::test]
async fn a_step_closes_the_session() {
    let answer = |code| [Act::ReadClose, close(code), Act::ReadEnd, Act::Fin];
    let server = serve(config()).await;
    expect_all(
        &server,
        [
            fault(
                "close",
                "close:4001:bye",
                answer(4001),
                json!(["fault", 4001, true, "fin", null, "server"]),
            ),
            fault(
                "close-without-code",
                "close:none",
                answer(1000),
                json!(["fault", 1005, true, "fin", null, "server"]),
            ),
            fault(
                "close-with-illegal-code",
                "close:1005",
                answer(1002),
                json!(["fault", 1005, true, "fin", null, "server"]),
            ),
            fault(
                "close-answered-by-reset",
                "close:4001",
                [Act::ReadClose, Act::Rst],
                json!(["fault", 4001, false, "rst", "peer", "server"]),
            ),
            fault(
                "close-then-rst",
                "close:4001,rst@100ms",
                [Act::ReadClose],
                json!(["fault", 4001, false, "rst", "server", "server"]),
            ),
            fault(
                "close-then-fin",
                "close:4001,fin@100ms",
                [Act::ReadClose, Act::ReadEnd, Act::Fin],
                json!(["fault", 4001, false, "fin", null, "server"]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_step_cuts_the_connection() {
    let server = serve(config()).await;
    expect_all(
        &server,
        [
            fault(
                "fin",
                "fin",
                [Act::ReadEnd, Act::Fin],
                json!(["fault", 1006, false, "fin", null, null]),
            ),
            fault(
                "fin-and-open",
                "fin",
                [Act::ReadEnd],
                json!(["fault", 1006, false, "timeout", null, null]),
            ),
            fault(
                "fin-and-reset",
                "fin",
                [Act::ReadEnd, Act::Rst],
                json!(["fault", 1006, false, "rst", "peer", null]),
            ),
            fault(
                "rst",
                "rst",
                [Act::ReadEnd],
                json!(["fault", 1006, false, "rst", "server", null]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_peer_leaves_a_session_that_is_silent() {
    let eof = || json!(["eof", 1006, false, "fin", null, null]);
    let lost = || json!(["lost", 1006, false, "rst", "peer", null]);
    let server = serve(config()).await;
    expect_all(
        &server,
        [
            fault("stall-fin", "stall", [Act::Fin], eof()),
            fault("deaf-fin", "deaf", [Act::Fin], eof()),
            fault("stall-rst", "stall", [Act::Rst], lost()),
            fault("deaf-rst", "deaf", [Act::Rst], lost()),
            fault(
                "noreply-fin",
                "noreply",
                [close(4000), Act::Fin],
                json!(["closed", 4000, false, "fin", null, "peer"]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_reset_in_place_of_the_rest_of_an_unanswered_close_is_seen() {
    let server = serve(config()).await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=me&do=noreply")).await;
    raw.head().await;
    raw.send(close_frame(4000, b"")).await;
    let request = "GET /connections/me/messages?kind=close&wait=20s";
    assert_eq!(ask(server.address, request).await.0, 200, "it has come");
    raw.stream.set_zero_linger().expect("a socket");
    drop(raw);
    let found = verdict(server.address, "me").await;
    let expected = json!(["closed", 4000, false, "rst", "peer", "peer"]);
    assert_eq!(short(&found), expected, "{found:#}");
    assert_eq!(found["close"]["sent"], json!(null));
}

#[tokio::test]
async fn a_fault_that_lasts_too_long_ends_with_a_reset() {
    let server = serve(ServerConfig {
        fault_timeout: SHORT,
        ..config()
    })
    .await;
    let silence = || json!(["fault", 1006, false, "rst", "server", null]);
    expect_all(
        &server,
        [
            fault("stall", "stall", [], silence()),
            fault("deaf", "deaf", [], silence()),
            fault(
                "noreply",
                "noreply",
                [close(4000)],
                json!(["closed", 4000, false, "rst", "server", "peer"]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_api_cuts_a_session_that_is_silent() {
    let server = serve(config()).await;
    let reset = || json!(["api", 1006, false, "rst", "server", null]);
    expect_all(
        &server,
        [
            fault("stall", "stall", [Act::Delete("how=rst")], reset()),
            fault("deaf", "deaf", [Act::Delete("how=rst")], reset()),
            fault(
                "stall-fin",
                "stall",
                [Act::Delete("how=fin"), Act::ReadEnd, Act::Fin],
                json!(["api", 1006, false, "fin", null, null]),
            ),
        ],
    )
    .await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=noreply&do=noreply")).await;
    raw.head().await;
    raw.send(close_frame(4000, b"")).await;
    let request = "GET /connections/noreply/messages?kind=close&wait=20s";
    assert_eq!(ask(server.address, request).await.0, 200, "it has come");
    let request = "DELETE /connections/noreply?how=rst";
    assert_eq!(ask(server.address, request).await.0, 204);
    let found = verdict(server.address, "noreply").await;
    let expected = json!(["api", 1006, false, "rst", "server", "peer"]);
    assert_eq!(short(&found), expected, "{found:#}");
}

#[tokio::test]
async fn a_close_in_the_middle_of_a_frame_becomes_a_reset_and_says_so() {
    let server = serve(config()).await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=mid-frame&do=rate:1KiB"))
        .await;
    raw.head().await;
    raw.send(frame(BINARY, &[0; 100_000])).await;
    // The echo is under way.
    raw.read(100).await;
    let raw = play(
        &server,
        raw,
        "mid-frame",
        vec![Act::Delete("code=4001"), Act::ReadEnd],
    );
    drop(raw.await);
    let found = verdict(server.address, "mid-frame").await;
    let expected = json!(["api", 1006, false, "rst", "server", null]);
    assert_eq!(short(&found), expected, "{found:#}");
}

#[tokio::test]
async fn a_peer_fails_a_session_that_sends_nonsense() {
    let server = serve(config()).await;
    let steps = [
        "bad:utf8",
        "bad:rsv",
        "bad:opcode",
        "bad:masked",
        "bad:continuation",
        "bad:ping126",
        "bad:length",
        "bad:deflate",
        "bad:bfinal",
        "bad:desync",
        "bad:window",
        "bad:rsv1",
        "bad:bomb:1KiB",
    ];
    for step in steps {
        let leaves = |how: &str| format!("{step} {how}").replace([':', ' '], "-");
        expect_all(
            &server,
            [
                fault(
                    &leaves("close"),
                    step,
                    [close(1002), Act::ReadEnd, Act::Fin],
                    json!(["closed", 1002, true, "fin", null, "peer"]),
                ),
                fault(
                    &leaves("fin"),
                    step,
                    [Act::Fin],
                    json!(["eof", 1006, false, "fin", null, null]),
                ),
                fault(
                    &leaves("rst"),
                    step,
                    [Act::Rst],
                    json!(["lost", 1006, false, "rst", "peer", null]),
                ),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn an_upgrade_that_is_refused_is_no_connection() {
    let server = serve(config()).await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=me&do=refuse:503")).await;
    assert_eq!(raw.response().await.status, 503);
    assert_eq!(ask(server.address, "GET /connections/me").await.0, 404);
}
