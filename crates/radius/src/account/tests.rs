use super::*;

fn at(seconds: u64) -> Clock {
    Clock { mono: seconds * 1_000, wall: 1_795_750_080 + seconds }
}

fn session(ike_id: u32) -> Session {
    Session {
        facts: Facts {
            user: "carol".into(),
            local: "192.0.2.1:4500".parse().unwrap(),
            remote: "192.0.2.2:4500".parse().unwrap(),
            connection: "rw".into(),
            ike_id,
            session: Ledger::session_id(1_795_750_080, ike_id),
        },
        addresses: vec![
            "10.3.0.1/32".parse().unwrap(),
            "fd03::1/128".parse().unwrap(),
            "fd04::/64".parse().unwrap(),
        ],
        class: vec![b"Research".to_vec(), b"Other".to_vec()],
        interim: None,
        server: None,
    }
}

fn ledger(options: Accounting) -> Ledger {
    Ledger::new(Accounting { station_id_with_port: true, ..options }, 1_795_750_080)
}

fn number(request: &Request, kind: RadiusType) -> Option<u32> {
    request.attributes.iter().find(|attribute| attribute.kind == kind)?.as_number()
}

/// What strongSwan 5.9.8 was seen to send, and Event-Timestamp.
#[test]
fn start_and_stop() {
    let mut ledger = ledger(Accounting { send_class: true, ..Accounting::default() });
    assert!(ledger.open(at(0), session(2)));
    let (id, start) = ledger.poll().unwrap();
    let common = vec![
        Attribute::text(RadiusType::AcctSessionId, "1795750080-2"),
        Attribute::text(RadiusType::Class, "Research"),
        Attribute::text(RadiusType::Class, "Other"),
        Attribute::number(RadiusType::NasPortType, 5),
        Attribute::number(RadiusType::ServiceType, 2),
        Attribute::number(RadiusType::NasPort, 2),
        Attribute::text(RadiusType::NasPortId, "rw"),
        Attribute::new(RadiusType::NasIpAddress, [192, 0, 2, 1]),
        Attribute::text(RadiusType::CalledStationId, "192.0.2.1[4500]"),
        Attribute::text(RadiusType::CallingStationId, "192.0.2.2[4500]"),
        Attribute::text(RadiusType::UserName, "carol"),
        Attribute::new(RadiusType::FramedIpAddress, [10, 3, 0, 1]),
        Attribute::address(RadiusType::FramedIpv6Address, "fd03::1".parse().unwrap()),
        Attribute::new(RadiusType::FramedIpv6Prefix, [0, 64, 0xfd, 4, 0, 0, 0, 0, 0, 0]),
    ];
    let status = |kind: u32| vec![Attribute::number(RadiusType::AcctStatusType, kind)];
    let stamp = |wall: u32| vec![Attribute::number(RadiusType::EventTimestamp, wall)];
    assert_eq!(start.attributes, [status(1), common.clone(), stamp(1_795_750_080)].concat());
    ledger.delivered(id, ServerId(1));
    ledger.count(
        2,
        1,
        Counters { input_octets: 100, output_octets: 5 << 32, input_packets: 1, output_packets: 2 },
    );
    // A figure that comes late takes nothing back; one child goes, its successor begins at zero.
    ledger.count(2, 1, Counters { input_octets: 90, output_octets: 0, input_packets: 1, output_packets: 2 });
    ledger.child_gone(2, 1);
    ledger.count(2, 9, Counters { input_octets: 8, output_octets: 7, input_packets: 1, output_packets: 1 });
    ledger.close(at(65), 2, TerminateCause::UserRequest);
    let (id, stop) = ledger.poll().unwrap();
    let tail = vec![
        Attribute::number(RadiusType::AcctOutputOctets, 7),
        Attribute::number(RadiusType::AcctOutputGigawords, 5),
        Attribute::number(RadiusType::AcctInputOctets, 108),
        Attribute::number(RadiusType::AcctOutputPackets, 3),
        Attribute::number(RadiusType::AcctInputPackets, 2),
        Attribute::number(RadiusType::AcctSessionTime, 65),
        Attribute::number(RadiusType::AcctTerminateCause, 1),
    ];
    assert_eq!(stop.attributes, [status(2), common, stamp(1_795_750_145), tail].concat());
    assert_eq!((stop.server, stop.movable), (Some(ServerId(1)), true));
    ledger.delivered(id, ServerId(1));
    assert_eq!((ledger.outstanding(), ledger.next_wake(), ledger.poll()), (0, None, None));
}

impl PartialEq for Request {
    fn eq(&self, other: &Self) -> bool {
        self.attributes == other.attributes
    }
}

#[test]
fn options() {
    let mut vip = ledger(Accounting { requires_vip: true, ..Accounting::default() });
    assert!(!vip.open(at(0), Session { addresses: vec![], ..session(1) }));
    assert!(vip.open(at(0), session(1)));
    assert!(!vip.open(at(0), session(1)), "once");
    let (_, start) = vip.poll().unwrap();
    assert!(!start.attributes.iter().any(|attribute| attribute.kind == RadiusType::Class));
    vip.close(at(1), 7, TerminateCause::UserRequest);
    assert!(vip.poll().is_none(), "there is no such session");
}

#[test]
fn interim_updates() {
    let mut ledger = ledger(Accounting { interval: 10, close_on_timeout: true, ..Accounting::default() });
    ledger.open(at(0), session(1));
    // What the server says counts more than our own setting.
    ledger.open(at(0), Session { interim: Some(60), ..session(2) });
    while ledger.poll().is_some() {}
    assert_eq!(ledger.next_wake(), Some(10_000));
    assert_eq!((ledger.due(at(9)), ledger.due(at(10)), ledger.due(at(10))), (vec![], vec![1], vec![]));
    ledger.interim(at(10), 1);
    let (id, update) = ledger.poll().unwrap();
    assert_eq!(number(&update, RadiusType::AcctStatusType), Some(3));
    assert_eq!(number(&update, RadiusType::AcctSessionTime), Some(10));
    assert_eq!(ledger.undelivered(at(30), id), Undelivered::Close(1));
    ledger.rekeyed(2, 5);
    assert_eq!(ledger.due(at(60)), [1, 5]);
    ledger.interim(at(60), 5);
    let (id, update) = ledger.poll().unwrap();
    assert_eq!(update.attributes[1].as_text(), Some("1795750080-2"), "the session outlives the rekeying");
    ledger.close(at(61), 5, TerminateCause::LostCarrier);
    assert_eq!(ledger.undelivered(at(80), id), Undelivered::Dropped, "nothing to close any more");
}

#[test]
fn late_records() {
    let mut ledger = ledger(Accounting::default());
    ledger.open(at(0), session(1));
    let (id, _) = ledger.poll().unwrap();
    assert_eq!(ledger.undelivered(at(22), id), Undelivered::Later);
    assert_eq!((ledger.next_wake(), ledger.outstanding()), (Some(82_000), 1));
    ledger.wake(at(82));
    let (id, again) = ledger.poll().unwrap();
    assert_eq!(number(&again, RadiusType::AcctDelayTime), Some(82));
    assert_eq!(ledger.undelivered(at(100), id), Undelivered::Later);
    // The Stop says all that the Start did, which must not come after it.
    ledger.close(at(110), 1, TerminateCause::UserRequest);
    let (id, stop) = ledger.poll().unwrap();
    assert_eq!(number(&stop, RadiusType::AcctStatusType), Some(2));
    assert_eq!(ledger.undelivered(at(130), id), Undelivered::Later);
    ledger.wake(at(1_000));
    let (_, stop) = ledger.poll().unwrap();
    assert_eq!(number(&stop, RadiusType::AcctStatusType), Some(2));
    assert_eq!(number(&stop, RadiusType::AcctDelayTime), Some(890));
    assert!(ledger.poll().is_none());
}

#[test]
fn records_are_bounded() {
    let mut ledger = ledger(Accounting::default());
    for ike_id in 0..u32::try_from(LATE).unwrap() + 10 {
        ledger.open(at(0), session(ike_id));
        let (id, _) = ledger.poll().unwrap();
        ledger.undelivered(at(0), id);
    }
    assert_eq!(ledger.outstanding(), LATE);
}
