//! Options that `#[sylvan::main]` refuses.

mod mapping {
    #[sylvan::main(mapping = "2:1")]
    fn main() {}
}

mod mapping_type {
    #[sylvan::main(mapping = ManyToOne)]
    fn main() {}
}

mod mapping_list {
    #[sylvan::main(mapping = ["1:1", "n:1"])]
    fn main() {}
}

mod workers {
    #[sylvan::main(workers = 0)]
    fn main() {}
}

mod workers_too_many {
    #[sylvan::main(workers = 1025)]
    fn main() {}
}

mod workers_negative {
    #[sylvan::main(workers = -1)]
    fn main() {}
}

mod workers_string {
    #[sylvan::main(workers = "4")]
    fn main() {}
}

mod stack_size {
    #[sylvan::main(stack_size = 0)]
    fn main() {}
}

mod stack_size_suffix {
    #[sylvan::main(stack_size = "1G")]
    fn main() {}
}

mod stack_size_overflow {
    #[sylvan::main(stack_size = "18014398509481984K")]
    fn main() {}
}

mod unknown {
    #[sylvan::main(threads = 4)]
    fn main() {}
}

mod twice {
    #[sylvan::main(workers = 4, workers = 5)]
    fn main() {}
}

mod no_value {
    #[sylvan::main(workers)]
    fn main() {}
}

mod no_option {
    #[sylvan::main("n:1")]
    fn main() {}
}

mod no_comma {
    #[sylvan::main(mapping = "n:1" workers = 4)]
    fn main() {}
}

mod crate_string {
    #[sylvan::main(crate = "sylvan")]
    fn main() {}
}

#[sylvan::main(mapping = "n:m", workers = 1.5)]
fn main() {}
