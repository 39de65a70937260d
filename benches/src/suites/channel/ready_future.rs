//! `block_on` of a future that is ready: what each call costs that need not wait.
//!
//! The future is polled by a call, as a boxed one is: a compiler that sees through it would leave
//! out all that `block_on` does for the case that it is not ready. sylvan's caller is a green
//! thread; the others' is a kernel thread, which is what their calls are for.
#![forbid(unsafe_code)]

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::measure::each;
use crate::peers::threads::{Std, Sylvan, Threads};
use crate::row::{Outcome, Row, Scale};

pub(super) fn row(scale: Scale) -> Row {
    Row::new("channel", "channel: block_on of a ready future")
        .workers(1)
        .unit("ns per call")
        .limit(20.0, &[])
        .peer("sylvan", move || calls::<Sylvan>(scale, sylvan::block_on))
        .peer("sylvan, kernel threads", move || calls::<Std>(scale, sylvan::block_on))
        .peer("smol", move || calls::<Std>(scale, smol::block_on))
        .peer("smol, futures-lite", move || calls::<Std>(scale, smol::future::block_on))
        .peer("tokio current thread", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            calls::<Std>(scale, move |future| runtime.block_on(future))
        })
}

/// Ready with its number.
struct Known(u64);

impl Future for Known {
    type Output = u64;

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        black_box(context);
        Poll::Ready(self.0)
    }
}

fn calls<P: Threads>(
    scale: Scale,
    block_on: impl Fn(Known) -> u64 + Send + Sync + 'static,
) -> Outcome {
    let runtime = P::start(1);
    let block_on = Arc::new(block_on);
    each(scale, 16, |count| {
        let block_on = block_on.clone();
        runtime.run(move || {
            let start = Instant::now();
            for number in 0..count {
                assert_eq!(block_on(Known(number)), number, "the future's own number");
            }
            start.elapsed()
        })
    })
}
