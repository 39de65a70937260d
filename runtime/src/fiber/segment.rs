//! Going on on another stack without a switch: what `join` does where too little is left.
//!
//! This is corosensei's `on_stack`, which calls a function on the other stack; unwinding and back
//! traces pass through.

use std::num::NonZeroUsize;

use corosensei::stack::Stack as CoroutineStack;

use crate::fiber::Fiber;
use crate::stack::Stack;

/// The part of a stack that corosensei sees. It owns nothing.
pub(super) struct View {
    base: NonZeroUsize,
    bottom: NonZeroUsize,
}

// SAFETY: `bottom` to `base` is a part of a stack with a guard at its lower end, and by far more
// than the minimum of 4 KiB lies between the guard and `base`.
unsafe impl CoroutineStack for View {
    fn base(&self) -> NonZeroUsize {
        self.base
    }

    fn limit(&self) -> NonZeroUsize {
        self.bottom
    }
}

impl View {
    pub(super) fn new(base: usize, bottom: usize) -> View {
        let address = |value| NonZeroUsize::new(value).expect("stacks do not lie at address zero");
        View { base: address(base), bottom: address(bottom) }
    }
}

/// Runs `f` on `stack`. If the caller runs on `fiber`, then `f` still does: it may suspend, and a
/// panic passes through.
pub(crate) fn on_stack<T>(fiber: Option<&Fiber>, stack: &mut Stack, f: impl FnOnce() -> T) -> T {
    struct Restore<'a>(Option<(&'a Fiber, usize, usize)>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            if let Some((fiber, limit, base)) = self.0 {
                fiber.limit.set(limit);
                fiber.base.set(base);
            }
        }
    }
    let view = View::new(stack.base(), stack.bottom());
    let restore = Restore(fiber.map(|fiber| (fiber, fiber.limit.get(), fiber.base.get())));
    if let Some(fiber) = fiber {
        fiber.limit.set(stack.limit());
        fiber.base.set(stack.base());
    }
    let value = corosensei::on_stack(view, f);
    drop(restore);
    value
}
