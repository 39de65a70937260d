//! Functions that cannot be `#[sylvan::main]`.

mod keywords {
    #[sylvan::main]
    async fn main() {}
}

mod arguments {
    #[sylvan::main]
    fn main(arguments: Vec<String>, more: u8) {}
}

mod generics {
    #[sylvan::main]
    fn main<T>() -> T
    where
        T: Default,
    {
        T::default()
    }
}

mod another_name {
    #[sylvan::main]
    fn start() {}
}

mod several_errors {
    #[sylvan::main(workers = 0)]
    async unsafe extern "C" fn main(argument: u8) {}
}

mod no_function {
    #[sylvan::main]
    struct Main;
}

#[sylvan::main]
async fn main() {}
