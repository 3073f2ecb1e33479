//! Compiles the messages of etcd with a compiler written in Rust, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILE: &str = "proto/etcd.proto";
    println!("cargo:rerun-if-changed={FILE}");
    let descriptors = protox::compile([FILE], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
