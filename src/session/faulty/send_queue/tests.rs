use super::*;

fn send_queue() -> SendQueue {
    SendQueue::new(100, false)
}

/// Puts the next piece.
fn put(send_queue: &mut SendQueue, now: Instant, bytes: &mut Vec<u8>) -> Put {
    let put = send_queue.put(now, bytes, &mut Budget::new());
    put.expect("zlib has no errors")
}

/// Everything that is due at `now`.
fn out(send_queue: &mut SendQueue, now: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while put(send_queue, now, &mut bytes) != Put::Nothing {}
    bytes
}

#[test]
fn messages_are_cut_into_fragments() {
    let now = Instant::now();
    for (size, expected) in [
        (1, &b"\x01\x01h\x00\x01e\x80\x01y\x82\x00"[..]),
        (2, b"\x01\x02he\x80\x01y\x82\x00"),
        (3, b"\x81\x03hey\x82\x00"),
        (9, b"\x81\x03hey\x82\x00"),
    ] {
        let mut send_queue = send_queue();
        send_queue.fragment(size);
        send_queue.text("hey");
        send_queue.echo(now, Opcode::Binary, b"", None);
        assert_eq!(out(&mut send_queue, now), expected, "{size}");
        assert!(send_queue.is_empty());
        assert_eq!(send_queue.answered(), 1);
    }
}

#[test]
fn a_burst_is_numbered_however_it_is_cut() {
    let mut expected = Vec::new();
    for number in 0..3_u8 {
        expected.extend(b"\x02\x05\0\0\0\0\0\x80\x05\0\0");
        expected.extend([number, 0, 0]);
    }
    let mut send_queue = send_queue();
    send_queue.fragment(5);
    let (messages, size) = (3, 10);
    send_queue.burst(Burst { messages, size });
    assert_eq!(out(&mut send_queue, Instant::now()), expected);
}

#[test]
fn a_large_message_comes_in_pieces() {
    let mut send_queue = send_queue();
    let (messages, size) = (1, 3 * PIECE);
    send_queue.burst(Burst { messages, size });
    let mut bytes = Vec::new();
    for piece in 0..3 {
        let expected = match piece {
            2 => Put::Message(Opcode::Binary, size as usize),
            _ => Put::Piece,
        };
        assert_eq!(put(&mut send_queue, Instant::now(), &mut bytes), expected);
        assert_eq!(send_queue.is_mid_frame(), piece < 2);
    }
    assert_eq!(bytes.len() as u64, 4 + size);
    assert!(send_queue.is_empty());
}

#[test]
fn a_frame_goes_between_messages() {
    let now = Instant::now();
    let mut send_queue = send_queue();
    send_queue.fragment(1);
    send_queue.echo(now, Opcode::Text, b"ab", None);
    let mut bytes = Vec::new();
    put(&mut send_queue, now, &mut bytes);
    send_queue.frame(b"frame".to_vec());
    assert!(!send_queue.is_mid_frame());
    bytes.extend(out(&mut send_queue, now));
    assert_eq!(bytes, b"\x01\x01a\x80\x01bframe");
}

#[test]
fn echoes_are_late_and_in_order() {
    let (least, most) = (Duration::from_millis(50), Duration::from_millis(200));
    let start = Instant::now();
    let mut send_queue = send_queue();
    send_queue.delay(least, most);
    for n in 0..20 {
        send_queue.echo(start, Opcode::Binary, &[n], None);
    }
    assert!(send_queue.next_due() >= Some(start + least));
    send_queue.text("at once");
    assert_eq!(out(&mut send_queue, start), b"\x81\x07at once");
    assert_eq!(send_queue.answered(), 0);
    let expected: Vec<_> = (0..20).flat_map(|n| [0x82, 1, n]).collect();
    assert_eq!(out(&mut send_queue, start + most), expected);
    assert_eq!(send_queue.answered(), 20);
}

#[test]
fn what_waits_is_bounded() {
    let now = Instant::now();
    let mut send_queue = send_queue();
    (0..MAX_WAITING).for_each(|_| send_queue.echo(now, Opcode::Text, b"", None));
    assert!(!send_queue.has_room());
    out(&mut send_queue, now);
    assert!(send_queue.has_room());
    send_queue.echo(now, Opcode::Text, &[b' '; 100], None);
    assert!(!send_queue.has_room());
    out(&mut send_queue, now);
    assert!(send_queue.has_room());
}

/// The payloads of echoes of the messages 1, 2 and 3, each with its header, at a moment.
fn echoes(send_queue: &mut SendQueue, steps: &str, now: Instant) -> Vec<u8> {
    send_queue.fates(Fates::of(&steps.parse().unwrap()));
    for n in 1..=3_u8 {
        send_queue.echo(now, Opcode::Binary, &[n], None);
    }
    out(send_queue, now)
}

#[test]
fn echoes_are_dropped_duplicated_and_reordered_and_each_message_counts_once() {
    let now = Instant::now();
    for (steps, expected) in [
        ("drop:100%", &b""[..]),
        (
            "duplicate",
            b"\x82\x01\x01\x82\x01\x01\x82\x01\x02\x82\x01\x02\x82\x01\x03\x82\x01\x03",
        ),
        ("reorder", b"\x82\x01\x02\x82\x01\x01"),
    ] {
        let mut send_queue = send_queue();
        assert_eq!(echoes(&mut send_queue, steps, now), expected, "{steps}");
        let late = now + REORDERED_WITHIN;
        match steps {
            "reorder" => {
                assert_eq!(send_queue.next_due(), Some(late));
                assert_eq!(out(&mut send_queue, late), b"\x82\x01\x03");
            }
            _ => assert_eq!(send_queue.next_due(), None),
        }
        assert!(send_queue.is_empty() && send_queue.has_room());
        assert_eq!(send_queue.answered(), 3);
    }
}
