use super::*;

#[test]
fn what_is_no_step_is_named() {
    let too_long = format!("close:1000:{}", "x".repeat(124));
    for text in [
        "beat",
        "beat:",
        "beat:1ms",
        "beat:2days",
        "beat:fast",
        "beat:10500us",
        "say",
        "echo",
        "echo:on",
        "delay",
        "delay:61s",
        "delay:2s..1s",
        "delay:..",
        "delay:1s..",
        "rate:0",
        "rate:2GiB",
        "rate:fast",
        "fragment:0",
        "ping",
        "ping:off",
        "close",
        "close:",
        "close:65536",
        "close:-1",
        "close:+1",
        "close:bye",
        "fin:1",
        "rst:",
        "deaf:x",
        "stall:1s",
        "noreply:1",
        "burst",
        "burst:10",
        "burst:0x1KiB",
        "burst:1x7",
        "burst:1025x1MiB",
        "bad",
        "bad:luck",
        "bad:bomb",
        "bad:bomb:0",
        "bad:bomb:2GiB",
        "burst:99999999999999999999x8",
        "refuse",
        "refuse:200",
        "refuse:299",
        "refuse:600",
        "refuse:503:/path",
        "refuse:302:",
        "refuse:302:/a b",
        "refuse:302:/\nx",
        "wait",
        "wait:61s",
        "accept",
        "accept:right",
        "deflate",
        "deflate:on",
        "deflate:window",
        "deflate:window:8",
        "deflate:window:16",
        "subprotocol:",
        "subprotocol:a b",
        "greet",
        "reply",
        "reply:hello",
        r"reply:a\=b",
        "who:me",
        &too_long,
    ] {
        let complaint = complaint(text);
        let name = text.split([':', '@']).next().unwrap();
        let names_it = complaint.starts_with(&format!("The step \"{name}"));
        assert!(
            names_it && complaint.contains(": write "),
            "{text:?}: {complaint}"
        );
    }
    for (text, expected) in [
        ("explode", r#"There is no step "explode"."#),
        ("Close:1000", r#"There is no step "Close"."#),
        ("who,:1", r#"There is no step ""."#),
        (
            "fin@",
            r#"What is behind the @ of "fin@" is wrong: write at most one time, as @5s up to @1day or @3msg, and at most one share, as @2x up to @1000000x or @20% up to @100%."#,
        ),
        (
            "fin@soon",
            r#"What is behind the @ of "fin@soon" is wrong: write at most one time, as @5s up to @1day or @3msg, and at most one share, as @2x up to @1000000x or @20% up to @100%."#,
        ),
        (
            "fin@0msg",
            r#"What is behind the @ of "fin@0msg" is wrong: write at most one time, as @5s up to @1day or @3msg, and at most one share, as @2x up to @1000000x or @20% up to @100%."#,
        ),
        (
            "fin@2days",
            r#"What is behind the @ of "fin@2days" is wrong: write at most one time, as @5s up to @1day or @3msg, and at most one share, as @2x up to @1000000x or @20% up to @100%."#,
        ),
        (
            "echo:off@3msg",
            r"The step echo takes no time: it holds from the start. In a text, write \@ for an at sign.",
        ),
        (
            "who@3msg",
            r"The step who takes no time: it holds from the start. In a text, write \@ for an at sign.",
        ),
        ("fin,who,fin@5s", "The step fin is there twice."),
        (
            "greet:hi@5s",
            r"The step greet takes no time: it holds from the start. In a text, write \@ for an at sign.",
        ),
        ("reply:a=b,reply:a=c", "The step reply is there twice."),
        ("who,who@2x", "The step who is there twice."),
        (
            "deflate:window:9,deflate:takeover,deflate:window:10",
            "The step deflate is there twice.",
        ),
        (
            "deflate:window:9,deflate:off",
            "The steps deflate and deflate contradict each other: deflate:off leaves no compression to set up.",
        ),
        (&"greet:,".repeat(65), "There are more than 64 steps."),
        (&"who,".repeat(2049), "The steps are more than 8 KiB."),
    ] {
        assert_eq!(complaint(text), expected, "{text:?}");
    }
    // A long step is cut short in the error, and cannot break a log line.
    let long = complaint(&format!("a\n{}", "b".repeat(1000)));
    assert_eq!(
        long,
        format!(r#"There is no step "a\n{}"."#, "b".repeat(62))
    );
}

#[test]
fn contradictions_are_named() {
    for text in [
        "refuse:503,wait:1s",
        "who,refuse:503",
        "delay:1s,echo:off",
        "say:hi,beat:off",
        "close:1000,fin",
        "rst@3msg,stall@3msg",
        "close:none@5s,stall@5s",
    ] {
        let complaint = complaint(text);
        assert!(
            complaint.contains(" contradict each other: "),
            "{complaint}"
        );
        for step in text.split(',') {
            let name = step.split([':', '@']).next().unwrap();
            assert!(complaint.contains(name), "{complaint}");
        }
    }
    for text in [
        "close:1000@5s,fin@6s",
        "stall@5s,rst@6s",
        "fin@5s,rst@3msg",
        "deaf,noreply",
        // These steps are not for the same connections, or need not be.
        "refuse:503@2x,wait:1s",
        "close:1000,fin@20%",
        "say:hi@5s,beat:off",
        // Answers are delayed, though echoes are off.
        "delay:1s,echo:off,reply:a=b",
    ] {
        assert!(parsed(text).is_ok(), "{text:?}");
    }
}
