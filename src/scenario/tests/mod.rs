mod errors;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn parsed(text: &str) -> Result<Vec<Step>, ScenarioError> {
    text.parse()
        .map(|scenario: Scenario| scenario.steps().cloned().collect())
}

fn complaint(text: &str) -> String {
    match parsed(text) {
        Ok(steps) => panic!("{text:?} is {steps:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_step_is_parsed_and_written_as_it_was() {
    let ms = Duration::from_millis;
    let at_3 = When::Messages(3);
    for (text, expected) in [
        ("beat:500ms", Step::Beat(Some(ms(500)))),
        ("beat:off", Step::Beat(None)),
        ("drop:10%", Step::Drop(10)),
        ("duplicate", Step::Duplicate(100)),
        ("duplicate:1%", Step::Duplicate(1)),
        ("reorder", Step::Reorder(100)),
        ("reorder:99%", Step::Reorder(99)),
        ("say:TEXT", Step::Say("TEXT".into(), When::Start)),
        ("say:TEXT@3msg", Step::Say("TEXT".into(), at_3)),
        ("say:", Step::Say(String::new(), When::Start)),
        (
            r"say:a\, b\@c: \\",
            Step::Say(r"a, b@c: \".into(), When::Start),
        ),
        (
            r"reply:a\=b\,=c=d\@5s",
            Step::Reply(Reply {
                message: "a=b,".into(),
                answer: "c=d@5s".into(),
            }),
        ),
        (
            "reply:=",
            Step::Reply(Reply {
                message: String::new(),
                answer: String::new(),
            }),
        ),
        ("echo:off", Step::EchoOff),
        (
            "delay:200ms",
            Step::Delay {
                least: ms(200),
                most: ms(200),
            },
        ),
        (
            "delay:0s..1m",
            Step::Delay {
                least: ms(0),
                most: 60 * SECOND,
            },
        ),
        ("rate:64KiB", Step::Rate(65_536)),
        ("rate:1", Step::Rate(1)),
        ("fragment:1KiB", Step::Fragment(1024)),
        ("ping:1s500ms", Step::Ping(ms(1500))),
        (
            "close:0",
            Step::Close(Closing::Code(0, String::new()), When::Start),
        ),
        (
            "close:65535:so long@3msg",
            Step::Close(Closing::Code(65_535, "so long".into()), at_3),
        ),
        (
            r"close:4001:a\@b:c\,@5s",
            Step::Close(
                Closing::Code(4001, "a@b:c,".into()),
                When::After(5 * SECOND),
            ),
        ),
        ("close:none@3msg", Step::Close(Closing::Bare, at_3)),
        ("fin", Step::Fin(When::Start)),
        ("rst@1day", Step::Rst(When::After(86_400 * SECOND))),
        ("deaf@3msg", Step::Deaf(at_3)),
        ("stall@0s", Step::Stall(When::After(Duration::ZERO))),
        ("noreply", Step::NoReply),
        (
            "burst:1000x1KiB@3msg",
            Step::Burst(
                Burst {
                    messages: 1000,
                    size: 1024,
                },
                at_3,
            ),
        ),
        (
            "burst:1x1024MiB",
            Step::Burst(
                Burst {
                    messages: 1,
                    size: 1 << 30,
                },
                When::Start,
            ),
        ),
        ("bad:utf8", Step::Bad(Bad::Utf8, When::Start)),
        ("bad:desync", Step::Bad(Bad::Desync, When::Start)),
        ("bad:bomb:16MiB@3msg", Step::Bad(Bad::Bomb(16 << 20), at_3)),
        ("bad:ping126@3msg", Step::Bad(Bad::Ping126, at_3)),
        (
            "refuse:300",
            Step::Refuse(Refuse {
                status: 300,
                advice: None,
            }),
        ),
        (
            "refuse:503:5s",
            Step::Refuse(Refuse {
                status: 503,
                advice: Some(Advice::RetryAfter(5 * SECOND)),
            }),
        ),
        (
            r"refuse:302:wss://a\@b/c?d",
            Step::Refuse(Refuse {
                status: 302,
                advice: Some(Advice::Location("wss://a@b/c?d".into())),
            }),
        ),
        ("wait:2s", Step::Wait(2 * SECOND)),
        ("accept:wrong", Step::Accept(Accept::Wrong)),
        ("accept:none", Step::Accept(Accept::Absent)),
        (
            "subprotocol:chat",
            Step::Subprotocol(Some("chat".parse().unwrap())),
        ),
        ("subprotocol:none", Step::Subprotocol(None)),
        ("accept:unasked", Step::Accept(Accept::Unasked)),
        ("deflate:off", Step::Deflate(Deflate::Off)),
        ("deflate:takeover", Step::Deflate(Deflate::Takeover)),
        ("deflate:window:9", Step::Deflate(Deflate::Window(9))),
        ("deflate:window:15", Step::Deflate(Deflate::Window(15))),
        ("greet:Grüße", Step::Greet("Grüße".into())),
        ("who", Step::Who),
    ] {
        let scenario: Scenario = text.parse().unwrap();
        assert!(scenario.steps().eq([&expected]), "{text:?}: {scenario:?}");
        assert_eq!(scenario.to_string(), text);
    }
}

#[test]
fn lists_may_have_spaces_and_empty_places() {
    for text in ["", ",", " , "] {
        assert_eq!(parsed(text), Ok(vec![]), "{text:?}");
    }
    let scenario: Scenario = "who , ,noreply ,delay:1s ,fin @ 3msg @ 2x".parse().unwrap();
    assert_eq!(scenario.to_string(), "who,noreply,delay:1s,fin@3msg@2x");
    // The spaces of a text are kept, though.
    assert_eq!(parsed("greet: a "), Ok(vec![Step::Greet(" a ".into())]));
}

#[test]
fn a_share_may_be_behind_every_step_and_a_time_before_it_or_behind() {
    for (text, canonical) in [
        ("who@2x", "who@2x"),
        ("refuse:503:5s@2x", "refuse:503:5s@2x"),
        ("rst@2x@2s", "rst@2s@2x"),
        ("close:4001:bye@3msg@20%", "close:4001:bye@3msg@20%"),
        ("wait:1s@100%", "wait:1s@100%"),
        ("say:a@b@5s@1x", r"say:a\@b@5s@1x"),
        ("greet:me@home", r"greet:me\@home"),
        (r"greet:half\@50%", r"greet:half\@50%"),
        (
            "refuse:503@2x,refuse:401@4x,close:4001",
            "refuse:503@2x,refuse:401@4x,close:4001",
        ),
        (
            "greet:a,greet:b,say:c@1s,say:d@1s,say:e",
            "greet:a,greet:b,say:c@1s,say:d@1s,say:e",
        ),
    ] {
        let scenario: Scenario = text.parse().unwrap();
        assert_eq!(scenario.to_string(), canonical, "{text}");
        assert_eq!(canonical.parse(), Ok(scenario));
    }
    for text in [
        "fin@0x",
        "fin@1000001x",
        "fin@0%",
        "fin@101%",
        "fin@2x@3x",
        "fin@2x@20%",
        "fin@1s@2s",
        "fin@2X",
        "who@x",
        "say:a@0msg",
        "greet:a@0%",
        "reply:a=b@101%",
        "say:a@0x",
        "say:a@25h",
    ] {
        let complaint = complaint(text);
        assert!(
            complaint.starts_with("What is behind the @ of "),
            "{complaint}"
        );
    }
    // In a query, % may be escaped or not.
    for query in [
        "do=rst@20%",
        "do=rst@20%25",
        "do=rst@20%,who",
        "do=rst@20%&x",
    ] {
        let scenario = Scenario::default().for_query(Some(query)).unwrap();
        assert!(
            scenario.to_string().starts_with("rst@20%"),
            "{query}: {scenario}"
        );
    }
}

#[test]
fn a_query_has_steps_in_its_parameter_alone() {
    for (query, expected) in [
        (None, None),
        (Some(""), None),
        (Some("a=do&undo=who&Do=who"), None),
        (Some("do"), Some("")),
        (Some("a=1&do=who&b=2"), Some("who")),
        (Some("do=who&do=fin"), Some("who,fin")),
        (
            Some("do=delay%3A200ms%2Cgreet%3Aa+b%26c"),
            Some("delay:200ms,greet:a b&c"),
        ),
    ] {
        assert_eq!(asked_for(query).as_deref(), expected, "{query:?}");
    }
}

#[test]
fn the_steps_of_a_query_override_those_of_the_same_name() {
    let ours: Scenario = "beat:off,close:4001@5s".parse().unwrap();
    let merged = |query| ours.for_query(query).map(|scenario| scenario.to_string());
    assert_eq!(merged(None).unwrap(), "beat:off,close:4001@5s");
    assert_eq!(
        merged(Some("do=close:none,who")).unwrap(),
        "beat:off,close:none,who"
    );
    let contradiction = merged(Some("do=say:hi")).unwrap_err().to_string();
    assert!(
        contradiction.starts_with("The steps beat and say contradict"),
        "{contradiction}"
    );
}

#[test]
fn the_list_of_steps_has_every_step() {
    let usage = Scenario::usage();
    for name in ["beat:", "close:none", "bad:length", "; fin;", "; who."] {
        assert!(usage.contains(name), "{name}: {usage}");
    }
    assert!(!usage.contains(char::is_control));
}

proptest! {
    #[test]
    fn any_text_is_refused_or_comes_back(text in r"((close|greet|say|reply|fin|burst|bad|refuse|rate|delay|beat)(:[0-9a-zKi:/x.=@%\\ ,]{0,12})?(@[0-9]{1,2}(s|msg|x|%|)){0,2},?){0,3}|\PC{0,40}") {
        if let Ok(scenario) = text.parse::<Scenario>() {
            prop_assert_eq!(scenario.to_string().parse(), Ok(scenario));
        }
    }
}
