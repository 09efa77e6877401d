//! Pushes to sessions that misbehave.

use std::time::{Duration, Instant};

use echobeat_frames::{text_echo, text_frame};
use tokio_tungstenite::tungstenite::Message;

use super::pushes::delivered;
use super::{ask, ask_with, connect, serve};
use crate::support::upgrade_request;

#[tokio::test]
async fn a_push_is_cut_into_fragments_and_slowed_down_as_the_steps_say() {
    let server = serve().await;
    let address = server.address;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=fragment&do=fragment:2"))
        .await;
    raw.head().await;
    let posted = ask_with(address, "POST /connections/fragment", "", b"abcde").await;
    assert_eq!(posted.0, 201);
    assert_eq!(raw.read(11).await, b"\x01\x02ab\x00\x02cd\x80\x01e");
    let (_, batch) = ask(address, "GET /connections/fragment/messages").await;
    assert_eq!(batch["messages"][0]["fragments"], 3);

    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=rate&do=rate:1KiB")).await;
    raw.head().await;
    let begun = Instant::now();
    let posted = ask_with(address, "POST /connections/rate", "", &[b'x'; 1000]).await;
    assert_eq!(posted.0, 201);
    raw.read(1004).await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "{begun:?}");
}

#[tokio::test]
async fn steps_that_concern_echoes_leave_pushes_alone() {
    let server = serve().await;
    let address = server.address;
    for steps in ["delay:1m", "echo:off", "deaf"] {
        let id = steps.replace(':', "-");
        let mut client = connect(address, &format!("/?id={id}&do={steps}")).await;
        client.send("echo").await;
        let request = format!("POST /connections/{id}");
        assert_eq!(ask_with(address, &request, "", b"push").await.0, 201);
        assert_eq!(client.next().await, Message::from("push"), "{steps}");
    }
}

#[tokio::test]
async fn a_push_to_a_session_that_stalls_is_taken_and_not_sent() {
    let server = serve().await;
    let address = server.address;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=me&do=stall@1msg")).await;
    raw.head().await;
    raw.send(text_frame("hello")).await;
    assert_eq!(raw.read(7).await, text_echo("hello"));
    let posted = ask_with(address, "POST /connections/me", "", b"push").await;
    assert_eq!(posted, (201, delivered(1, 0)));
    assert_eq!(ask(address, "DELETE /connections/me?how=fin").await.0, 204);
    assert_eq!(raw.rest().await, b"");
    super::verdict(address, "me").await;
    let (_, batch) = ask(address, "GET /connections/me/messages?direction=out").await;
    let kept = batch["messages"].as_array().expect("a list");
    assert_eq!(kept.len(), 1, "nothing says that it was sent: {batch:#}");
}
