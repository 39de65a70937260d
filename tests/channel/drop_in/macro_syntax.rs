//! `select!` and `select_biased!` as they can be written: commas, blocks, expressions, patterns,
//! and what an arm may do.
#![forbid(unsafe_code)]
#![allow(unused_braces, reason = "arms are written in every form")]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::channel::{
    Receiver, RecvError, SendError, Sender, after, bounded, never, select, select_biased, unbounded,
};
use super::everywhere;

const MOMENT: Duration = Duration::from_millis(3);

/// A channel that is always ready to be received from, for it is at its end.
fn ended() -> Receiver<i32> {
    unbounded().1
}

#[test]
fn single_operations_with_and_without_commas() {
    everywhere(|| {
        let (s, r) = bounded(1);
        select! { send(s, 1) -> _ => () }
        select! { recv(r) -> message => assert_eq!(message, Ok(1)) }
        select! { send(s, 2) -> result => assert_eq!(result, Ok(())), }
        select! { recv(r) -> message => assert_eq!(message, Ok(2)), }
        select! { send(s, 3) -> _ => {} }
        select! { recv(r) -> _ => {}, }
        select! { send(s, 4,) -> _ => {} }
        select! { recv(r,) -> message => { assert_eq!(message, Ok(4)) } }
        select_biased! { send(s, 5) -> _ => () }
        select_biased! { recv(r,) -> message => assert_eq!(message, Ok(5)), }
    });
}

#[test]
fn default_in_every_form_and_place() {
    everywhere(|| {
        let r = never::<i32>();
        let mut count = 0;
        select! { default => count += 1 }
        select! { default() => count += 1, }
        select! { default => { count += 1 } }
        select! { default(MOMENT) => count += 1 }
        select! { default(MOMENT,) => { count += 1 }, }
        select! { recv(r) -> _ => unreachable!(), default => count += 1 }
        select! { recv(r) -> _ => unreachable!(), default() => { count += 1 } }
        select! { recv(r) -> _ => { unreachable!() } default(MOMENT) => count += 1, }
        select! { default => { count += 1 } recv(r) -> _ => unreachable!() }
        select! { recv(r) -> _ => (), default => count += 1, recv(&r) -> _ => (), }
        select_biased! { recv(r) -> _ => unreachable!(), default => count += 1 }
        select_biased! { recv(r) -> _ => (), recv(r) -> _ => (), default(MOMENT * 2) => count += 1 }
        assert_eq!(count, 12);
    });
}

#[test]
fn arms_with_blocks_need_no_commas() {
    everywhere(|| {
        let ((s, r), none) = (unbounded::<i32>(), never::<String>());
        let got = select! {
            recv(none) -> _ => {
                unreachable!()
            }
            recv(none) -> message => { message.map(|text| text.len()).unwrap() },
            send(s, 1) -> result => {
                result.unwrap();
                1
            }
            recv(none) -> _ => unreachable!(),
        };
        assert_eq!((got, r.try_recv()), (1, Ok(1)));
    });
}

#[test]
fn selection_is_an_expression_whose_arms_have_one_type() {
    everywhere(|| {
        let (s, r) = bounded(1);
        s.send(20).unwrap();
        let text = select! {
            recv(r) -> message => message.unwrap().to_string(),
            default => String::new(),
        };
        assert_eq!(text, "20");
        assert_eq!(1 + select! { recv(r) -> _ => 1, default => 2 }, 3);
        let boxed: Box<dyn Fn() -> i32> = select! {
            default => Box::new(|| 7),
            recv(r) -> message => { let number = message.unwrap(); Box::new(move || number) }
        };
        assert_eq!(boxed(), 7);
        assert!(matches!(select_biased! { send(s, 1) -> result => result }, Ok(())));
    });
}

#[test]
fn arms_bind_by_any_pattern_that_fits_always() {
    everywhere(|| {
        let (s, r) = unbounded();
        for number in 0..5 {
            s.send((number, "text".to_owned())).unwrap();
        }
        select! { recv(r) -> mut message => {
            if let Ok((number, _)) = &mut message { *number += 1 }
            assert_eq!(message.unwrap().0, 1);
        } }
        select! { recv(r) -> ref message => assert_eq!(message.as_ref().unwrap().1, "text") }
        select! { recv(r) -> message @ (Ok(_) | Err(RecvError)) => assert!(message.is_ok()) }
        select! { recv(r) -> (Ok(_) | Err(_)) => {} default => unreachable!() }
        select! { recv(r) -> _unused => {} default(MOMENT) => unreachable!() }
        assert!(r.is_empty());
    });
}

#[test]
fn channels_are_given_by_value_reference_or_pointer() {
    struct Service {
        requests: Receiver<i32>,
        answers: Vec<Sender<i32>>,
    }
    fn pick(service: &Service) -> &Receiver<i32> {
        &service.requests
    }
    everywhere(|| {
        let ((s, r), (answer, _answers)) = (unbounded(), unbounded());
        let service = Service { requests: r, answers: vec![answer] };
        let (shared, boxed) = (Arc::new(service.requests.clone()), Box::new(s.clone()));
        let maybe = service.answers.get(1).map(|_| &service.requests);
        for _ in 0..40 {
            s.send(1).unwrap();
            select! {
                recv(service.requests) -> message => assert_eq!(message, Ok(1)),
                recv(&service.requests) -> message => assert_eq!(message, Ok(1)),
                recv(&&service.requests) -> message => assert_eq!(message, Ok(1)),
                recv(pick(&service)) -> message => assert_eq!(message, Ok(1)),
                recv(pick(&service).clone()) -> message => assert_eq!(message, Ok(1)),
                recv(shared) -> message => assert_eq!(message, Ok(1)),
                recv({ let all = [&shared]; all[0] }) -> message => assert_eq!(message, Ok(1)),
                recv(maybe.unwrap_or(&never())) -> _ => unreachable!(),
                recv(after(Duration::from_secs(3600))) -> _ => unreachable!(),
                recv(if s.is_full() { &shared } else { &service.requests }) -> _ => {}
                send(service.answers[0], 1) -> _ => assert!(service.requests.recv().is_ok()),
                send(boxed, 1) -> _ => assert_eq!(service.requests.try_iter().count(), 2),
                send(Box::new(s.clone()), 1) -> _ => assert_eq!(shared.try_iter().count(), 2),
            }
            assert!(shared.is_empty());
        }
    });
}

#[test]
fn channels_are_evaluated_once_in_order_and_a_message_only_if_it_is_sent() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (bounded::<i32>(1), bounded::<i32>(1));
        s1.send(0).unwrap();
        let order = RefCell::new(Vec::new());
        let note = |what: &'static str| order.borrow_mut().push(what);
        select! {
            send({ note("first"); &s1 }, { note("not sent"); 1 }) -> _ => unreachable!(),
            recv({ note("second"); &r2 }) -> _ => unreachable!(),
            send({ note("third"); &s2 }, { note("sent"); 1 }) -> result => {
                note("arm");
                result.unwrap();
            }
            default({ note("limit"); MOMENT }) => unreachable!(),
        }
        let order = order.into_inner();
        let place = |what| order.iter().position(|noted| *noted == what).unwrap();
        assert_eq!(order.len(), 6, "{order:?}");
        assert!(place("first") < place("second") && place("second") < place("third"), "{order:?}");
        assert!(place("third") < place("sent") && place("sent") < place("arm"), "{order:?}");
        assert_eq!((r1.recv(), r2.recv()), (Ok(0), Ok(1)));
    });
}

#[test]
fn several_arms_may_move_or_borrow_the_same_variable() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (unbounded(), unbounded());
        let mut sent = Vec::new();
        for number in 0..20 {
            let text = number.to_string();
            select! {
                send(s1, text) -> result => { result.unwrap(); sent.push(1) }
                send(s2, text) -> result => { result.unwrap(); sent.push(2) }
            }
        }
        assert_eq!((r1.len() + r2.len(), sent.len()), (20, 20));
        assert_eq!(r1.len(), sent.iter().filter(|which| **which == 1).count());
        // An arm that is not taken leaves what it would have moved.
        let ((full, _r), text) = (bounded(0), "kept".to_owned());
        let kept = select! {
            send(full, text) -> _ => unreachable!(),
            default => text,
        };
        assert_eq!(kept, "kept");
    });
}

#[test]
fn arms_may_leave_what_stands_around_them() {
    fn leaves(r: &Receiver<i32>) -> Result<i32, RecvError> {
        let mut sum = 0;
        'outer: loop {
            loop {
                select! {
                    recv(r) -> message => match message? {
                        0 => continue,
                        1 => break,
                        2 => break 'outer,
                        3 => return Ok(-1),
                        number => sum += number,
                    },
                    recv(never::<i32>()) -> _ => unreachable!(),
                }
            }
            sum += 100;
        }
        Ok(sum)
    }
    everywhere(|| {
        for (numbers, result) in [
            (vec![0, 10, 1, 20, 2], Ok(130)),
            (vec![10, 3], Ok(-1)),
            (vec![10, 0, 1], Err(RecvError)),
        ] {
            let (s, r) = unbounded();
            numbers.into_iter().for_each(|number| s.send(number).unwrap());
            drop(s);
            assert_eq!(leaves(&r), result);
        }
    });
}

#[test]
fn selections_stand_within_each_other() {
    everywhere(|| {
        let ((s, r), end) = (unbounded(), ended());
        let got = select! {
            recv(end) -> _ => select! {
                send(s, select! { default => 3 }) -> result => {
                    result.unwrap();
                    select_biased! { recv(r) -> message => message.unwrap(), default => 0 }
                }
            },
        };
        assert_eq!(got, 3);
        let got = select! { recv(select! { default => &r }) -> _ => 0, default => 4 };
        assert_eq!(got, 4);
    });
}

#[test]
fn names_around_a_selection_do_not_matter() {
    mod odd {
        #![allow(dead_code, reason = "they are here to be in the way")]
        pub(super) struct Ok;
        pub(super) struct Err;
        pub(super) struct Some;
        pub(super) type Result = ();
        pub(super) type Option = ();
        pub(super) fn drop() {}
        pub(super) fn never() {}
    }
    everywhere(|| {
        #[allow(unused_imports, reason = "they are here to be in the way")]
        use odd::{Err, Ok, Option, Result, Some, drop, never};
        let (sel, r, res, oper, index, timeout) = (1, ended(), 2, 3, 4, MOMENT);
        let sum = select! {
            recv(r) -> _ => sel + res + oper + index,
            default(timeout) => 0,
        };
        let more = select! {
            recv(r) -> _ => sum + sel,
            recv(r) -> _ => sum + sel,
        };
        assert!((sum, more) == (10, 11));
    });
}

#[test]
fn as_many_arms_as_crossbeam_takes() {
    everywhere(|| {
        let (r, (s, kept)) = (never::<i32>(), unbounded());
        let arm = select! {
            recv(r) -> _ => 0, recv(r) -> _ => 1, recv(r) -> _ => 2, recv(r) -> _ => 3,
            recv(r) -> _ => 4, recv(r) -> _ => 5, recv(r) -> _ => 6, recv(r) -> _ => 7,
            recv(r) -> _ => 8, recv(r) -> _ => 9, recv(r) -> _ => 10, recv(r) -> _ => 11,
            recv(r) -> _ => 12, recv(r) -> _ => 13, recv(r) -> _ => 14, recv(r) -> _ => 15,
            recv(r) -> _ => 16, recv(r) -> _ => 17, recv(r) -> _ => 18, recv(r) -> _ => 19,
            recv(r) -> _ => 20, recv(r) -> _ => 21, recv(r) -> _ => 22, recv(r) -> _ => 23,
            recv(r) -> _ => 24, send(s, 1) -> _ => 25,
        };
        assert_eq!((arm, kept.len()), (25, 1));
    });
}

#[test]
fn results_have_the_types_of_the_calls() {
    everywhere(|| {
        let (s, r) = unbounded::<i32>();
        let (end, (orphan, _)) = (ended(), unbounded::<i32>());
        let received: Result<i32, RecvError> = select! { recv(end) -> message => message };
        let sent: Result<(), SendError<i32>> = select! { send(orphan, 7) -> result => result };
        assert_eq!((received, sent), (Err(RecvError), Err(SendError(7))));
        let received = select! { recv(end) -> message => message, default => Ok(0) };
        let sent = select! { send(orphan, 7) -> result => result, default(MOMENT) => Ok(()) };
        assert_eq!((received, sent), (Err(RecvError), Err(SendError(7))));
        drop((s, r));
    });
}
