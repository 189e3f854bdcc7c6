//! The messages of DNS: a question as bytes, and what an answer says. No I/O.
//!
//! The wire format is the `domain` crate's; here is which records count, and what bounds them.

use std::net::IpAddr;
use std::time::Duration;

use domain::base::iana::{Opcode, Rcode};
use domain::base::name::ToName;
use domain::base::{Message, MessageBuilder, Name, ParsedName, Rtype};
use domain::rdata::{A, Aaaa, Cname, Srv};

use super::{Answer, RECORDS_MAX};

/// Bytes of an answer over UDP that are asked for: what passes every link without being cut up (DNS flag day 2020).
pub(super) const UDP_BYTES: u16 = 1_232;

/// A name of DNS.
pub(super) type DnsName = Name<Vec<u8>>;

/// Where a service is offered, from a record of the type SRV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The host, without a dot at its end.
    pub host: String,
    /// The port there.
    pub port: u16,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Records {
    Addresses(Answer<IpAddr>),
    Services(Answer<Service>),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Records(Records),
    /// The name is not there.
    NoName,
    /// It did not fit: ask by TCP.
    Truncated,
    /// The server answered that it cannot, in its own word.
    Refused(String),
}

/// The bytes of a question.
pub(super) fn question(id: u16, name: &DnsName, kind: Rtype) -> Option<Vec<u8>> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push((name, kind)).ok()?;
    let mut builder = builder.additional();
    builder
        .opt(|opt| {
            opt.set_udp_payload_size(UDP_BYTES);
            Ok(())
        })
        .ok()?;
    Some(builder.finish())
}

/// What an answer to that question says; none if it is no answer to it.
pub(super) fn reply(bytes: &[u8], id: u16, name: &DnsName, kind: Rtype) -> Option<Reply> {
    let message = Message::from_octets(bytes).ok()?;
    let header = message.header();
    if header.id() != id || !header.qr() || header.opcode() != Opcode::QUERY {
        return None;
    }
    let asked = message.sole_question().ok()?;
    if !asked.qname().name_eq(name) || asked.qtype() != kind {
        return None;
    }
    if header.tc() {
        return Some(Reply::Truncated);
    }
    Some(match header.rcode() {
        Rcode::NOERROR => match records(&message, kind) {
            Some(records) => Reply::Records(records),
            None => Reply::Refused("an answer that cannot be read".to_owned()),
        },
        Rcode::NXDOMAIN => Reply::NoName,
        other => Reply::Refused(other.to_string()),
    })
}

fn records(message: &Message<&[u8]>, kind: Rtype) -> Option<Records> {
    Some(match kind {
        Rtype::A => Records::Addresses(collect(message, |data: A| Some(IpAddr::V4(data.addr())))?),
        Rtype::AAAA => Records::Addresses(collect(message, |data: Aaaa| {
            Some(IpAddr::V6(data.addr()))
        })?),
        _ => Records::Services(collect(message, |data: Srv<ParsedName<&[u8]>>| {
            let host = data.target().to_string();
            let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
            // The root stands for a service that is not offered.
            (!host.is_empty()).then(|| Service {
                host,
                port: data.port(),
            })
        })?),
    })
}

/// The records of a type that belong to the name that was asked for, aliases followed; none if they cannot be read.
fn collect<'a, D, T>(
    message: &'a Message<&'a [u8]>,
    value: impl Fn(D) -> Option<T>,
) -> Option<Answer<T>>
where
    D: domain::base::rdata::ParseRecordData<'a, &'a [u8]>,
{
    let owner = message.canonical_name()?;
    let mut answer = Answer {
        records: Vec::new(),
        ttl: ttl_of_aliases(message, &owner),
    };
    for record in message.answer().ok()?.limit_to_in::<D>().take(RECORDS_MAX) {
        let record = record.ok()?;
        if !record.owner().name_eq(&owner) {
            continue;
        }
        let ttl = Duration::from_secs(record.ttl().as_secs().into());
        answer.ttl = [answer.ttl, Some(ttl)].into_iter().flatten().min();
        answer.records.extend(value(record.into_data()));
    }
    Some(answer)
}

/// How long the aliases of an answer hold that lead to `owner`: what they stand for may be another name then.
fn ttl_of_aliases(message: &Message<&[u8]>, owner: &ParsedName<&[u8]>) -> Option<Duration> {
    let answer = message.answer().ok()?;
    let aliases = answer.limit_to_in::<Cname<ParsedName<&[u8]>>>();
    let on_the_way = aliases.take(RECORDS_MAX).flatten();
    on_the_way
        .filter(|alias| !alias.owner().name_eq(owner))
        .map(|alias| Duration::from_secs(alias.ttl().as_secs().into()))
        .min()
}

/// Reads arbitrary bytes as answers: it must not panic, and holds no more records than it may.
#[doc(hidden)]
pub fn fuzz_answer(bytes: &[u8]) {
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let Ok(name) = "a.example".parse::<DnsName>() else {
        return;
    };
    for kind in [Rtype::A, Rtype::AAAA, Rtype::SRV] {
        if let Some(Reply::Records(records)) = reply(bytes, id, &name, kind) {
            let count = match records {
                Records::Addresses(answer) => answer.records.len(),
                Records::Services(answer) => answer.records.len(),
            };
            assert!(count <= RECORDS_MAX);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use domain::base::iana::Class;
    use domain::base::{Record, Ttl};
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    /// An answer with these records, to that question.
    fn answer(
        id: u16,
        asked: &str,
        kind: Rtype,
        code: Rcode,
        fill: impl FnOnce(&mut AnswerOf),
    ) -> Vec<u8> {
        let query = question(id, &name(asked), kind).unwrap();
        let query = Message::from_octets(query).unwrap();
        let mut builder = MessageBuilder::new_vec()
            .start_answer(&query, code)
            .unwrap();
        fill(&mut builder);
        builder.finish()
    }

    type AnswerOf = domain::base::message_builder::AnswerBuilder<Vec<u8>>;

    fn add(
        builder: &mut AnswerOf,
        owner: &str,
        ttl: u32,
        data: impl domain::base::rdata::ComposeRecordData,
    ) {
        let record = Record::new(name(owner), Class::IN, Ttl::from_secs(ttl), data);
        builder.push(record).unwrap();
    }

    fn address(last: u8) -> A {
        A::new(Ipv4Addr::new(10, 0, 0, last))
    }

    #[test]
    fn addresses_of_the_name_that_was_asked_for_count_and_the_least_ttl() {
        let bytes = answer(7, "a.example", Rtype::A, Rcode::NOERROR, |builder| {
            add(builder, "a.example", 30, address(1));
            add(builder, "A.EXAMPLE", 20, address(2));
            add(builder, "other.example", 1, address(3));
        });
        let read = reply(&bytes, 7, &name("A.example"), Rtype::A);
        let expected = Answer {
            records: vec![
                IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
                IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
            ],
            ttl: Some(Duration::from_secs(20)),
        };
        assert_eq!(read, Some(Reply::Records(Records::Addresses(expected))));
    }

    #[test]
    fn aliases_are_followed() {
        let bytes = answer(7, "a.example", Rtype::AAAA, Rcode::NOERROR, |builder| {
            add(builder, "a.example", 30, Cname::new(name("b.example")));
            add(builder, "b.example", 9, Aaaa::new(Ipv6Addr::LOCALHOST));
        });
        let Some(Reply::Records(Records::Addresses(read))) =
            reply(&bytes, 7, &name("a.example"), Rtype::AAAA)
        else {
            panic!("it is an answer");
        };
        assert_eq!(read.records, [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        assert_eq!(read.ttl, Some(Duration::from_secs(9)), "the least of all");
    }

    /// An alias that changes soon is asked for again soon, however long the addresses behind it hold.
    #[test]
    fn an_alias_holds_no_longer_than_it_says() {
        let bytes = answer(7, "a.example", Rtype::A, Rcode::NOERROR, |builder| {
            add(builder, "a.example", 2, Cname::new(name("b.example")));
            add(builder, "b.example", 3_600, address(1));
        });
        let Some(Reply::Records(Records::Addresses(read))) =
            reply(&bytes, 7, &name("a.example"), Rtype::A)
        else {
            panic!("it is an answer");
        };
        assert_eq!(read.ttl, Some(Duration::from_secs(2)));
    }

    #[test]
    fn names_that_lead_back_to_themselves_are_no_answer() {
        let aliases = answer(7, "a.example", Rtype::A, Rcode::NOERROR, |builder| {
            add(builder, "a.example", 9, Cname::new(name("b.example")));
            add(builder, "b.example", 9, Cname::new(name("a.example")));
            add(builder, "a.example", 9, address(1));
        });
        let read = |bytes: &[u8]| reply(bytes, 7, &name("a.example"), Rtype::A);
        let refused = Reply::Refused("an answer that cannot be read".to_owned());
        assert_eq!(read(&aliases), Some(refused.clone()));
        // An owner that is a pointer: to itself, ahead, behind the end, or to one that points back.
        let good = answer(7, "a.example", Rtype::A, Rcode::NOERROR, |builder| {
            add(builder, "b.example", 9, address(1));
        });
        let question_end = 12 + 11 + 4;
        let mut pointed = good[..question_end].to_vec();
        let rest = good[question_end + 11..].to_vec();
        for target in [question_end, question_end + 2, 0x3fff, question_end + 1] {
            pointed.truncate(question_end);
            let pointer = 0xc000 | u16::try_from(target).unwrap();
            pointed.extend(pointer.to_be_bytes());
            pointed.extend(&rest);
            assert_ne!(
                read(&pointed),
                Some(Reply::NoName),
                "it says nothing of the name"
            );
            if let Some(Reply::Records(Records::Addresses(found))) = read(&pointed) {
                assert!(found.records.is_empty(), "{target}");
            }
        }
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_is_no_answer_with_addresses_of_its_own() {
        let whole = answer(7, "a.example", Rtype::A, Rcode::NOERROR, |builder| {
            add(builder, "a.example", 9, address(1));
            add(builder, "a.example", 9, address(2));
        });
        for end in 0..whole.len() {
            let read = reply(&whole[..end], 7, &name("a.example"), Rtype::A);
            let is_found = matches!(read, Some(Reply::Records(_)));
            assert!(!is_found, "of {end} bytes: {read:?}");
        }
    }

    #[test]
    fn services_have_a_host_and_a_port() {
        let bytes = answer(
            7,
            "_o._tcp.example",
            Rtype::SRV,
            Rcode::NOERROR,
            |builder| {
                add(
                    builder,
                    "_o._tcp.example",
                    5,
                    Srv::new(0, 0, 7401, name("n1.example.")),
                );
                add(
                    builder,
                    "_o._tcp.example",
                    5,
                    Srv::new(0, 0, 7401, Name::<Vec<u8>>::root_vec()),
                );
            },
        );
        let Some(Reply::Records(Records::Services(read))) =
            reply(&bytes, 7, &name("_o._tcp.example"), Rtype::SRV)
        else {
            panic!("it is an answer");
        };
        let expected = Service {
            host: "n1.example".into(),
            port: 7401,
        };
        assert_eq!(read.records, [expected]);
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let right = answer(7, "a.example", Rtype::A, Rcode::NOERROR, |builder| {
            add(builder, "a.example", 30, address(1));
        });
        let asked = name("a.example");
        assert!(reply(&right, 7, &asked, Rtype::A).is_some());
        assert_eq!(reply(&right, 8, &asked, Rtype::A), None, "another number");
        assert_eq!(
            reply(&right, 7, &name("b.example"), Rtype::A),
            None,
            "another name"
        );
        assert_eq!(reply(&right, 7, &asked, Rtype::AAAA), None, "another type");
        let query = question(7, &asked, Rtype::A).unwrap();
        assert_eq!(reply(&query, 7, &asked, Rtype::A), None, "a question");
    }

    #[test]
    fn a_name_that_is_not_there_and_a_server_that_cannot_are_told_apart() {
        let of = |code| {
            let bytes = answer(7, "a.example", Rtype::A, code, |_| {});
            reply(&bytes, 7, &name("a.example"), Rtype::A)
        };
        assert_eq!(of(Rcode::NXDOMAIN), Some(Reply::NoName));
        assert_eq!(of(Rcode::SERVFAIL), Some(Reply::Refused("SERVFAIL".into())));
    }

    #[test]
    fn records_beyond_the_bound_are_left_out() {
        let bytes = answer(7, "a.example", Rtype::A, Rcode::NOERROR, |builder| {
            for _ in 0..2_000 {
                add(builder, "a.example", 30, address(1));
            }
        });
        let Some(Reply::Records(Records::Addresses(read))) =
            reply(&bytes, 7, &name("a.example"), Rtype::A)
        else {
            panic!("it is an answer");
        };
        assert_eq!(read.records.len(), RECORDS_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            fuzz_answer(&bytes);
        }

        #[test]
        fn no_answer_that_was_damaged_panics(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
            is_service in any::<bool>(),
        ) {
            let kind = if is_service { Rtype::SRV } else { Rtype::A };
            let mut bytes = answer(7, "a.example", kind, Rcode::NOERROR, |builder| {
                add(builder, "a.example", 30, Cname::new(name("b.example")));
                add(builder, "b.example", 30, address(1));
                add(builder, "b.example", 30, Srv::new(0, 0, 1, name("c.b.example")));
            });
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(1 + cut.index(bytes.len()));
            fuzz_answer(&bytes);
        }
    }
}
