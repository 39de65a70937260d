//! smoke
use std::time::{Duration, Instant};
use sylvan::{thread, Mapping, Runtime};
fn fib(n: u32) -> u32 { if n < 2 { n } else { let (a, b) = sylvan::join(|| fib(n-1), || fib(n-2)); a + b } }
fn main() {
    for mapping in [Mapping::OneToOne, Mapping::ManyToOne, Mapping::ManyToMany] {
        eprintln!("== {mapping}");
        let rt = Runtime::builder().mapping(mapping).workers(2).build().unwrap();
        let t = Instant::now();
        let x = rt.run(|| {
            let a = thread::spawn(|| { thread::sleep(Duration::from_millis(5)); 7 });
            let b = thread::spawn(|| { for _ in 0..1000 { thread::yield_now(); } 8 });
            a.join().unwrap() + b.join().unwrap()
        });
        assert_eq!(x, 15);
        eprintln!("spawn/sleep/yield {:?}", t.elapsed());
        let n = if mapping == Mapping::OneToOne { 500 } else { 100_000 };
        let t = Instant::now();
        rt.run(|| {
            let v: Vec<_> = (0..n).map(|i| thread::spawn(move || { thread::park(); i })).collect();
            for h in &v { h.thread().unpark(); }
            let mut s = 0u64; for h in v { s += h.join().unwrap() as u64; }
            assert_eq!(s, (0..n as u64).sum());
        });
        eprintln!("park {n} {:?}", t.elapsed());
        let t = Instant::now();
        rt.run(|| {
            let mut c = vec![0u32; 1000];
            thread::scope(|s| { for (i, x) in c.iter_mut().enumerate() { s.spawn(move || { if i % 3 == 0 { thread::yield_now() } *x = i as u32 }); } });
            assert!(c.iter().enumerate().all(|(i, x)| *x == i as u32));
        });
        eprintln!("scope {:?}", t.elapsed());
        let t = Instant::now();
        let n = if mapping == Mapping::OneToOne { 8 } else { 27 };
        let r = rt.run(|| fib(n));
        eprintln!("fib {r} {:?}", t.elapsed());
        let r = rt.run(|| thread::spawn(|| panic!("boo")).join().is_err());
        assert!(r);
        let t = Instant::now();
        let h = rt.handle().spawn(|| { thread::park() });
        rt.run(|| thread::yield_now());
        drop(rt);
        assert!(h.is_finished());
        eprintln!("drop {:?} {:?}", t.elapsed(), h.join().map_err(|e| e.is::<thread::Cancelled>()));
    }
}
